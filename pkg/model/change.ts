import type { Version } from './id.ts';
import type { ObjectIds, ObjectKind, ObjectTypes } from './object.ts';

/**
 * One replicated write. `seen` is the version the writer saw: when the store applies the change and the object has
 * moved on, the whole transaction is refused ("update out of sequence"). The store sets `version` and `updatedAt`.
 */
export type Change = {
  [K in ObjectKind]:
    | { readonly action: 'create'; readonly kind: K; readonly object: ObjectTypes[K] }
    | {
        readonly action: 'update';
        readonly kind: K;
        readonly object: ObjectTypes[K];
        readonly seen: Version;
      }
    | {
        readonly action: 'remove';
        readonly kind: K;
        readonly id: ObjectIds[K];
        readonly seen: Version;
      };
}[ObjectKind];

export function createObject<K extends ObjectKind>(kind: K, object: ObjectTypes[K]): Change {
  return { action: 'create', kind, object } as Change;
}

/** `object` as it shall be; its `version` field says what the writer saw. */
export function updateObject<K extends ObjectKind>(kind: K, object: ObjectTypes[K]): Change {
  return { action: 'update', kind, object, seen: object.version } as Change;
}

export function removeObject<K extends ObjectKind>(kind: K, object: ObjectTypes[K]): Change {
  return { action: 'remove', kind, id: object.id, seen: object.version } as unknown as Change;
}
