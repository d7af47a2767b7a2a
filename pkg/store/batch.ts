import {
  type Change,
  ClusterError,
  isRunnable,
  type NodeId,
  type ObjectIds,
  type ObjectKind,
} from '../model/index.ts';

/** As many changes fit into one log entry (swarmkit's limit) … */
export const CHANGES_PER_ENTRY_MAX = 200;
/** … and as many bytes. */
export const ENTRY_BYTES_MAX = 1.5 * 1024 * 1024;

/**
 * The same changes with each object only once, so that they can be written in several entries: the version an entry
 * gives to an object would refuse a second change made against the one before.
 */
export function mergeChanges(changes: readonly Change[]): readonly Change[] {
  const merged = new MergedChanges();
  for (const change of changes) merged.add(change);
  return merged.all;
}

/** The same one by one, for thousands that are made with pauses. */
export class MergedChanges {
  readonly #merged = new Map<string, Change>();

  get all(): readonly Change[] {
    return [...this.#merged.values()];
  }

  add(change: Change): void {
    const id = change.action === 'remove' ? change.id : change.object.id;
    const key = `${change.kind}/${id}`;
    const before = this.#merged.get(key);
    const now = before ? join(before, change) : change;
    if (now) this.#merged.set(key, now);
    else this.#merged.delete(key);
  }
}

/**
 * Tasks that were given a node come last, those of one node together: it hears of them in one message instead of one for
 * each entry, and reports them so. Nothing else depends on them, and all else keeps its order: what stops comes before
 * what takes its place, for the entries at the end may be refused.
 */
export function placedByNode(changes: readonly Change[]): readonly Change[] {
  const rest: Change[] = [];
  const nodes = new Map<NodeId, Change[]>();
  for (const change of changes) {
    const node = nodeGiven(change);
    const placed = node && nodes.get(node);
    if (node === undefined) rest.push(change);
    else if (placed) placed.push(change);
    else nodes.set(node, [change]);
  }
  return [...rest, ...[...nodes.values()].flat()];
}

function nodeGiven(change: Change): NodeId | undefined {
  if (change.kind !== 'task' || change.action === 'remove') return undefined;
  const { status, nodeId } = change.object;
  return status.state === 'assigned' && isRunnable(change.object) ? nodeId : undefined;
}

/** Undefined when nothing remains: made and removed again. */
function join(before: Change, change: Change): Change | undefined {
  if (change.action === 'remove') {
    if (before.action === 'create') return undefined;
    return { ...change, seen: before.seen } as Change;
  }
  if (before.action === 'create') return { ...before, object: change.object } as Change;
  if (before.action === 'update') return { ...before, object: change.object } as Change;
  // Removed, then made anew under the same id: an update of what was there.
  const { kind, seen } = before;
  return { action: 'update', kind, object: change.object, seen } as Change;
}

/** Changes of one entry of the log. */
export interface Piece {
  readonly changes: readonly Change[];
  /** The same as JSON: thousands are measured and written, it is made once. */
  readonly json: string;
}

/** Pieces of at most `max` changes and about a megabyte, made one by one. */
export function* splitChanges(
  changes: readonly Change[],
  max = CHANGES_PER_ENTRY_MAX,
): Iterable<Piece> {
  let piece: Change[] = [];
  let texts: string[] = [];
  let bytes = 0;
  const take = (): Piece => ({ changes: piece, json: `[${texts.join(',')}]` });
  for (const change of changes) {
    const text = JSON.stringify(change);
    const size = text.length;
    if (size > ENTRY_BYTES_MAX) throw tooLarge(change.kind, change);
    if (piece.length >= max || bytes + size > ENTRY_BYTES_MAX / 2) {
      if (piece.length > 0) yield take();
      piece = [];
      texts = [];
      bytes = 0;
    }
    piece.push(change);
    texts.push(text);
    bytes += size;
  }
  if (piece.length > 0) yield take();
}

function tooLarge<K extends ObjectKind>(kind: K, change: Change): ClusterError {
  const id = (change.action === 'remove' ? change.id : change.object.id) as ObjectIds[K];
  return new ClusterError('invalid', `${kind} ${id} is larger than ${ENTRY_BYTES_MAX} bytes`);
}
