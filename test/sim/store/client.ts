import {
  ClusterError,
  type Config,
  type ConfigId,
  createObject,
  type DraftTables,
  type InstantMs,
  removeObject,
  updateObject,
  VERSION_NONE,
} from '../../../pkg/model/index.ts';
import type { Store } from '../../../pkg/store/index.ts';
import type { History } from '../../linearizable/history.ts';
import type { RegisterInput, RegisterOutput } from '../../linearizable/named-register.ts';

export type StoreHistory = History<RegisterInput, RegisterOutput>;

/** A store in a process that may end: then its calls get no answer. */
export interface Access {
  readonly store: Store;
  /** Never rejects. */
  readonly ended: Promise<void>;
  /** A client was told that its write is in entry `index`. */
  acknowledged(index: number): void;
}

const GONE = Symbol('gone');
class Stale extends Error {}

/** One operation through one member, recorded. Resolves when it was answered, or the member is gone. */
export async function operate(
  access: Access,
  history: StoreHistory,
  client: number,
  call: { readonly input: RegisterInput; readonly patienceMs: number },
): Promise<RegisterOutput | undefined> {
  const { input, patienceMs } = call;
  const open = history.call(client, input);
  try {
    const asked = act(access, input, patienceMs);
    const output = await Promise.race([asked, access.ended.then((): typeof GONE => GONE)]);
    asked.catch(() => undefined);
    if (output === GONE) return undefined;
    open.returned(output);
    return output;
  } catch (error) {
    const output = refusalOf(error);
    if (output) open.returned(output);
    else if (input.kind === 'read' || isWithoutEffect(error)) open.nothing();
    return output;
  }
}

async function act(
  access: Access,
  input: RegisterInput,
  timeoutMs: number,
): Promise<RegisterOutput> {
  const { store } = access;
  const { name } = input;
  switch (input.kind) {
    case 'read': {
      const found = (await store.barrier()).byName('config', name);
      return found ? { kind: 'found', text: found.spec.Data ?? '' } : { kind: 'absent' };
    }
    case 'create': {
      const work = (draft: DraftTables): unknown =>
        draft.add(createObject('config', configOf(name, input.text)));
      // Without asking first it might be refused for the sake of one that is gone.
      const { index } = await store.update(work, { linearizable: true, timeoutMs });
      access.acknowledged(index);
      return { kind: 'done' };
    }
    case 'swap': {
      const { expected, text } = input;
      const options = { linearizable: true, timeoutMs };
      const { value, index } = await store.update((draft): boolean => {
        const present = draft.byName('config', name);
        if (present === undefined) return false;
        if (present.spec.Data !== expected) throw new Stale();
        draft.add(updateObject('config', { ...present, spec: { ...present.spec, Data: text } }));
        return true;
      }, options);
      access.acknowledged(index);
      return { kind: value ? 'done' : 'absent' };
    }
    case 'remove': {
      const options = { linearizable: true, timeoutMs };
      const { value, index } = await store.update((draft): boolean => {
        const present = draft.byName('config', name);
        if (present) draft.add(removeObject('config', present));
        return present !== undefined;
      }, options);
      access.acknowledged(index);
      return { kind: value ? 'done' : 'absent' };
    }
  }
}

/** The id is new each time, as the API's are: only the name tells that two are the same. */
function configOf(name: string, text: string): Config {
  return {
    id: `${name}-${text}` as ConfigId,
    version: VERSION_NONE,
    createdAt: 0 as InstantMs,
    updatedAt: 0 as InstantMs,
    spec: { Name: name, Data: text },
  };
}

function refusalOf(error: unknown): RegisterOutput | undefined {
  const refused =
    error instanceof Stale || (error instanceof ClusterError && error.kind === 'conflict');
  return refused ? { kind: 'refused' } : undefined;
}

/** The store promises that nothing was written. */
function isWithoutEffect(error: unknown): boolean {
  if (!(error instanceof ClusterError)) throw error;
  return error.code === 'ERR_NO_LEADER';
}
