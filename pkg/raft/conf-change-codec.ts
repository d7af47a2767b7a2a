import { RaftError } from './error.ts';
import type { Entry, EntryType, NodeId } from './message.ts';

export type ConfChangeType = 'addNode' | 'addLearner' | 'removeNode' | 'updateNode';

export interface ConfChangeSingle {
  readonly type: ConfChangeType;
  readonly nodeId: NodeId;
}

/**
 * How a change passes through a joint configuration. `auto`: only when more than one voter changes, and it is left
 * again automatically. `implicit`: always joint, left automatically. `explicit`: always joint, left when told to.
 */
export type ConfChangeTransition = 'auto' | 'implicit' | 'explicit';

/** A membership change. `transition` auto without changes leaves a joint configuration. */
export interface ConfChange {
  /** Written as the old single-change entry; needs exactly one change and no transition. */
  readonly v1?: boolean | undefined;
  readonly transition?: ConfChangeTransition | undefined;
  readonly changes: readonly ConfChangeSingle[];
  /** The owner's own bytes, for example the new member's address. */
  readonly context?: Uint8Array | undefined;
}

const TYPES: readonly ConfChangeType[] = ['addNode', 'addLearner', 'removeNode', 'updateNode'];
const TRANSITIONS: readonly ConfChangeTransition[] = ['auto', 'implicit', 'explicit'];
const ID_BYTES = 8;
const CHANGE_BYTES = 1 + ID_BYTES;
const HEADER_BYTES = 3;
const WORD = 2 ** 32;

/**
 * Type and bytes of the log entry for `change`. Layout: transition u8, number of changes u16, per change type u8 and id
 * u64, then the context; big endian. The empty automatic change is no bytes at all.
 */
export function encodeConfChange(change: ConfChange): { type: EntryType; data: Uint8Array | null } {
  const type = change.v1 === true ? 'EntryConfChange' : 'EntryConfChangeV2';
  const context = change.context ?? new Uint8Array(0);
  const transition = TRANSITIONS.indexOf(change.transition ?? 'auto');
  if (change.changes.length === 0 && transition === 0 && context.length === 0) {
    return { type, data: null };
  }
  const head = HEADER_BYTES + change.changes.length * CHANGE_BYTES;
  const data = new Uint8Array(head + context.length);
  const view = new DataView(data.buffer);
  view.setUint8(0, transition);
  view.setUint16(1, change.changes.length);
  change.changes.forEach((single, i) => {
    const at = HEADER_BYTES + i * CHANGE_BYTES;
    view.setUint8(at, TYPES.indexOf(single.type));
    view.setUint32(at + 1, Math.floor(single.nodeId / WORD));
    view.setUint32(at + 5, single.nodeId % WORD);
  });
  data.set(context, head);
  return { type, data };
}

/** The change an EntryConfChange or EntryConfChangeV2 holds. Throws ErrCorrupt. */
export function decodeConfChange(entry: Entry): ConfChange {
  const v1 = entry.type === 'EntryConfChange';
  const data = entry.data;
  if (data === null || data.length === 0) return { v1, transition: 'auto', changes: [] };
  if (data.length < HEADER_BYTES) throw corrupt(entry);
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const transition = TRANSITIONS[view.getUint8(0)];
  const count = view.getUint16(1);
  const head = HEADER_BYTES + count * CHANGE_BYTES;
  if (transition === undefined || data.length < head) throw corrupt(entry);
  const changes: ConfChangeSingle[] = [];
  for (let at = HEADER_BYTES; at < head; at += CHANGE_BYTES) {
    const type = TYPES[view.getUint8(at)];
    if (type === undefined) throw corrupt(entry);
    changes.push({ type, nodeId: view.getUint32(at + 1) * WORD + view.getUint32(at + 5) });
  }
  return { v1, transition, changes, context: data.slice(head) };
}

function corrupt(entry: Entry): RaftError {
  return new RaftError(
    'ErrCorrupt',
    `configuration change at index ${entry.index} does not decode`,
  );
}
