import type { ConfChange } from 'raft-js';
import {
  type InstantMs,
  OBJECT_KINDS,
  type ObjectKind,
  Tables,
  type Version,
  type View,
} from '../model/index.ts';
import {
  type Command,
  decodeMemberCommand,
  type MemberCommand,
  type RequestId,
} from './command.ts';
import type { Batch, Member } from './contract.ts';
import {
  type Outcome,
  type OutcomeRefusal,
  type OutcomeRow,
  RequestTable,
} from './request-table.ts';
import { StoreView } from './store-view.ts';

export interface MemberRecord extends Member {
  /** A learner that shall become a voter when it has caught up. */
  readonly promote: boolean;
}

export interface RemovedRecord extends MemberRecord {
  /**
   * A quorum without it has written down that it is out. Until then its answer may be needed to elect somebody, so it
   * is not told and goes on.
   */
  readonly settled?: boolean | undefined;
}

/** What applying one entry did: who waits for it, and what changed. */
export interface Applied {
  readonly id: RequestId;
  readonly outcome: Outcome;
  readonly batch?: Batch | undefined;
}

interface Head {
  readonly index: Version;
  readonly now: InstantMs;
  readonly members: readonly MemberRecord[];
  readonly removed: readonly RemovedRecord[];
  readonly requestFloor: Version;
}

type SnapshotPart =
  | { readonly head: Head }
  | { readonly requests: readonly OutcomeRow[] }
  | { readonly kind: ObjectKind; readonly objects: readonly object[] };

const CHUNK_BYTES = 128 * 1024;
const REMOVED_MAX = 1000;

/**
 * Everything that is replicated. Deterministic: the same entries in the same order lead every member to the same
 * content, whatever its clock says and whenever it took snapshots.
 */
export class StateMachine {
  readonly view = new StoreView(() => this.#tables);
  readonly #requestsMax: number;
  #tables = new Tables();
  #requests: RequestTable;
  #members = new Map<number, MemberRecord>();
  /** Ids are never reused, so a late copy of an addition must not bring one back. */
  #removed = new Map<number, RemovedRecord>();
  #now = 0 as InstantMs;

  constructor(requestsMax: number) {
    this.#requestsMax = requestsMax;
    this.#requests = new RequestTable(requestsMax);
  }

  /** Those of now; a snapshot that is restored brings others. */
  get tables(): View {
    return this.#tables;
  }

  /** The newest stamp applied; the next one will not be smaller. */
  get now(): InstantMs {
    return this.#now;
  }

  get members(): ReadonlyMap<number, MemberRecord> {
    return this.#members;
  }

  get removedMembers(): ReadonlyMap<number, RemovedRecord> {
    return this.#removed;
  }

  outcomeOf(id: RequestId): Outcome | undefined {
    return this.#requests.get(id);
  }

  /** An entry that says nothing to the store. */
  advance(index: Version): void {
    this.#tables.advance(index);
  }

  /** `term`: of the entry. */
  apply(command: Command, index: Version, term: number): Applied {
    const { id, changes } = command;
    const known = this.#requests.get(id);
    if (known !== undefined) {
      this.advance(index);
      return { id, outcome: known };
    }
    const refusal = this.#refuse(command, term);
    if (refusal !== undefined) return this.#refused(id, index, refusal);
    this.#stamp(command.now);
    const applied = this.#tables.apply(changes, index, this.#now);
    const outcome = { index };
    this.#requests.add(id, outcome);
    return { id, outcome, batch: { index, now: this.#now, changes: applied, reset: false } };
  }

  /**
   * A committed configuration change. `accept` puts it in force and is called unless the change is a late copy, and so
   * on every member or on none.
   */
  applyMember(change: ConfChange, index: Version, accept: () => void): Applied | undefined {
    const command = decodeMemberCommand(change.context);
    this.advance(index);
    if (command === undefined) {
      accept();
      return undefined;
    }
    const known = this.#requests.get(command.id);
    if (known !== undefined) return { id: command.id, outcome: known };
    if (this.#requests.isExpired(command.base) || this.#addsRemoved(change)) {
      return this.#refused(command.id, index, { reason: 'expired' });
    }
    this.#stamp(command.now);
    accept();
    this.#changeMembers(change, command);
    this.#requests.add(command.id, { index });
    return { id: command.id, outcome: { index } };
  }

  /** All other members are given up: `self` is the only one, known under a new id, from `index` on. */
  continueAlone(self: Member, index: Version): void {
    for (const member of this.#members.values()) this.#addRemoved({ ...member, settled: true });
    this.#members.clear();
    this.#members.set(self.raftId, { ...self, promote: false });
    this.advance(index);
  }

  /** The content at this moment; the parts are made one by one while later entries are applied. */
  snapshot(): Iterable<Uint8Array> {
    const head: Head = {
      index: this.#tables.index,
      now: this.#now,
      members: [...this.#members.values()],
      removed: [...this.#removed.values()],
      requestFloor: this.#requests.floor,
    };
    const requests = this.#requests.rows();
    // Objects are frozen: it is enough to keep which ones they are.
    const objects = OBJECT_KINDS.map((kind) => ({ kind, objects: [...this.#tables.list(kind)] }));
    return encodeParts({ head }, requests, objects);
  }

  /** Take in a snapshot, chunk by chunk; the old content is served until `finish`. */
  beginRestore(): { add(chunk: Uint8Array): void; finish(): void } {
    const tables = new Tables();
    const requests = new RequestTable(this.#requestsMax);
    let head: Head | undefined;
    const rows: OutcomeRow[] = [];
    return {
      add: (chunk): void => {
        const part = JSON.parse(Buffer.from(chunk).toString()) as SnapshotPart;
        if ('head' in part) head = part.head;
        else if ('requests' in part) rows.push(...part.requests);
        else for (const object of part.objects) tables.restore(part.kind, object as never);
      },
      finish: (): void => {
        if (head === undefined) throw new RangeError('the snapshot has no head');
        requests.restore(head.requestFloor, rows);
        tables.advance(head.index);
        this.#tables = tables;
        this.#requests = requests;
        this.#members = new Map(head.members.map((member) => [member.raftId, member]));
        this.#removed = new Map(head.removed.map((member) => [member.raftId, member]));
        this.#now = head.now;
      },
    };
  }

  #refuse(command: Command, term: number): OutcomeRefusal | undefined {
    if (command.term !== undefined && command.term !== term) return { reason: 'superseded' };
    if (this.#requests.isExpired(command.base)) return { reason: 'expired' };
    if (command.after !== undefined) {
      const before = this.#requests.get(command.after);
      if (before === undefined || before.refusal !== undefined) return { reason: 'skipped' };
    }
    return this.#tables.check(command.changes);
  }

  #refused(id: RequestId, index: Version, refusal: OutcomeRefusal): Applied {
    this.advance(index);
    const outcome = { index, refusal };
    this.#requests.add(id, outcome);
    return { id, outcome };
  }

  #stamp(now: InstantMs): void {
    if (now > this.#now) this.#now = now;
  }

  #addsRemoved(change: ConfChange): boolean {
    return change.changes.some(
      ({ type, nodeId }) => type !== 'removeNode' && this.#removed.has(nodeId),
    );
  }

  #changeMembers(change: ConfChange, command: MemberCommand): void {
    const { member } = command;
    for (const { type, nodeId } of change.changes) {
      if (type === 'removeNode') {
        this.#removeMember(nodeId);
      } else if (type === 'updateNode') {
        const record = this.#members.get(nodeId);
        if (record && member) this.#members.set(nodeId, { ...record, address: member.address });
      } else if (member?.raftId === nodeId) {
        const promote = type === 'addLearner' && command.promote === true;
        this.#members.set(nodeId, { ...member, promote } as MemberRecord);
      }
    }
  }

  /** The second removal of a member can only be appended after the first took effect on the leader: it settles it. */
  #removeMember(raftId: number): void {
    const member = this.#members.get(raftId);
    const removed = this.#removed.get(raftId);
    this.#members.delete(raftId);
    if (member) this.#addRemoved(member);
    else if (removed) this.#addRemoved({ ...removed, settled: true });
  }

  #addRemoved(record: RemovedRecord): void {
    this.#removed.set(record.raftId, record);
    for (const oldest of this.#removed.keys()) {
      if (this.#removed.size <= REMOVED_MAX) break;
      this.#removed.delete(oldest);
    }
  }
}

function* encodeParts(
  head: SnapshotPart,
  requests: readonly OutcomeRow[],
  tables: readonly { readonly kind: ObjectKind; readonly objects: readonly object[] }[],
): Iterable<Uint8Array> {
  yield Buffer.from(JSON.stringify(head));
  yield* encodeList('{"requests":[', requests);
  for (const { kind, objects } of tables)
    yield* encodeList(`{"kind":"${kind}","objects":[`, objects);
}

/** Parts of about CHUNK_BYTES, so that none takes long to make or to read. */
function* encodeList(opening: string, rows: readonly object[]): Iterable<Uint8Array> {
  let texts: string[] = [];
  let bytes = 0;
  const take = (): Uint8Array => {
    const part = Buffer.from(`${opening}${texts.join(',')}]}`);
    texts = [];
    bytes = 0;
    return part;
  };
  for (const row of rows) {
    const text = JSON.stringify(row);
    texts.push(text);
    bytes += text.length;
    if (bytes >= CHUNK_BYTES) yield take();
  }
  if (texts.length > 0) yield take();
}
