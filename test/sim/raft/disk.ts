import type { Entry, HardState, Index, Snapshot, Storage } from 'raft-js';
import { MemoryStorage, RaftError } from 'raft-js';
import type { Random } from './random.ts';

/** One write, as far as it can be lost separately from others. */
type Write =
  | { readonly kind: 'entry'; readonly entry: Entry }
  | { readonly kind: 'hardState'; readonly hardState: HardState }
  | { readonly kind: 'received'; readonly snapshot: Snapshot }
  | { readonly kind: 'taken'; readonly snapshot: Snapshot; readonly compactTo: Index };

/** The disk of one node: what was written can be read back, but only what was synced is sure to survive a crash. */
export class Disk {
  /** Everything written. */
  view = new MemoryStorage();
  /** What survives every crash. */
  durable = new MemoryStorage();
  #unsynced: Write[] = [];

  /** Entries go first, so that a commit index never survives without them. */
  write(batch: {
    snapshot: Snapshot | null;
    entries: readonly Entry[];
    hardState: HardState | null;
  }): void {
    if (batch.snapshot !== null) this.#add({ kind: 'received', snapshot: batch.snapshot });
    for (const entry of batch.entries) this.#add({ kind: 'entry', entry });
    if (batch.hardState !== null) this.#add({ kind: 'hardState', hardState: batch.hardState });
  }

  /** Stores a snapshot of the node's own state, and drops entries up to `compactTo`. */
  takeSnapshot(snapshot: Snapshot, compactTo: Index): void {
    this.#add({ kind: 'taken', snapshot, compactTo });
  }

  sync(): void {
    for (const write of this.#unsynced) apply(this.durable, write);
    this.#unsynced = [];
  }

  /** The power fails: any number of the first unsynced writes made it to the disk. */
  crash(random: Random): void {
    const survived = random.below(this.#unsynced.length + 1);
    for (const write of this.#unsynced.slice(0, survived)) apply(this.durable, write);
    this.#unsynced = [];
    this.view = copyOf(this.durable);
  }

  #add(write: Write): void {
    apply(this.view, write);
    this.#unsynced.push(write);
  }
}

/** What a node reads: everything written, and a snapshot only if it knows the member that it is for. */
export class DiskStorage implements Storage {
  /** Somebody needs a newer snapshot. */
  snapshotWanted = false;
  readonly #disk: Disk;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  initialState(): ReturnType<Storage['initialState']> {
    return this.#disk.view.initialState();
  }

  entries(lo: Index, hi: Index, maxSize: number): readonly Entry[] {
    return this.#disk.view.entries(lo, hi, maxSize);
  }

  term(index: Index): number {
    return this.#disk.view.term(index);
  }

  firstIndex(): Index {
    return this.#disk.view.firstIndex();
  }

  lastIndex(): Index {
    return this.#disk.view.lastIndex();
  }

  snapshot(member = 0): Snapshot {
    const snapshot = this.#disk.view.snapshot();
    const { voters, votersOutgoing, learners } = snapshot.confState;
    if ([...voters, ...votersOutgoing, ...learners].includes(member)) return snapshot;
    this.snapshotWanted = true;
    throw new RaftError('ErrSnapshotTemporarilyUnavailable');
  }
}

/** Whether the storage has the entry, itself or inside a snapshot. */
export function holds(storage: MemoryStorage, index: Index, term: number): boolean {
  const first = storage.firstIndex();
  if (index < first - 1) return true;
  return index <= storage.lastIndex() && storage.term(index) === term;
}

function apply(storage: MemoryStorage, write: Write): void {
  switch (write.kind) {
    case 'entry':
      storage.append([write.entry]);
      break;
    case 'hardState':
      storage.setHardState(write.hardState);
      break;
    case 'received':
      storage.applySnapshot(write.snapshot);
      break;
    case 'taken':
      storage.createSnapshot(write.snapshot);
      if (write.compactTo >= storage.firstIndex()) storage.compact(write.compactTo);
      break;
    default:
  }
}

function copyOf(source: MemoryStorage): MemoryStorage {
  const copy = new MemoryStorage();
  const snapshot = source.snapshot();
  const before = source.firstIndex() - 1;
  copy.applySnapshot({ ...snapshot, index: before, term: source.term(before) });
  copy.append(source.entries(before + 1, source.lastIndex() + 1, Number.POSITIVE_INFINITY));
  if (snapshot.index > before) copy.createSnapshot(snapshot);
  const { hardState } = source.initialState();
  if (hardState !== null) copy.setHardState(hardState);
  return copy;
}
