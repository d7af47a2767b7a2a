import type { Clock } from '../io/index.ts';
import type { Member } from './contract.ts';
import type { Envelope } from './message-codec.ts';
import type { LastSaid } from './recovery.ts';

/** What somebody said of a member, which holds as long as the log goes on saying what it said then. */
interface Said {
  readonly member: Member;
  /** Address in the log at that time; none: the log did not know the member. */
  readonly over: string | undefined;
  /** By the member itself. */
  readonly direct: boolean;
}

/**
 * Who can be reached, and where. Addresses come from the replicated members; a member that joins, or that forgot the
 * newest of the log in a crash, begins with those it was told. A member that was started under another address says so
 * to all it can reach, and they dial it there before the log knows: it may be needed to write anything at all.
 */
export class Peers {
  readonly #self: Member;
  readonly #clock: Clock;
  readonly #freshMs: number;
  readonly #said = new Map<number, Said>();
  readonly #replicated: () => ReadonlyMap<number, Member>;
  readonly #former: () => ReadonlyMap<number, Member>;
  #recalled = false;
  readonly #heardAt = new Map<number, number>();

  constructor(options: {
    /** This member, as it is reached now. */
    readonly self: Member;
    readonly clock: Clock;
    /** A member that was silent for longer may have moved since it said where it is. */
    readonly freshMs: number;
    readonly told: readonly Member[];
    readonly replicated: () => ReadonlyMap<number, Member>;
    /** Removed ones: one that does not know it yet is still answered. */
    readonly former: () => ReadonlyMap<number, Member>;
  }) {
    this.#self = options.self;
    this.#clock = options.clock;
    this.#freshMs = options.freshMs;
    for (const member of options.told)
      this.#said.set(member.raftId, { member, over: undefined, direct: false });
    this.#replicated = options.replicated;
    this.#former = options.former;
  }

  get(raftId: number): Member | undefined {
    if (raftId === this.#self.raftId) return this.#self;
    const replicated = this.#replicated().get(raftId);
    const said = this.#said.get(raftId);
    if (replicated && said?.over !== replicated.address) {
      // Or it would hold again if the log came back to what it said then.
      this.#said.delete(raftId);
      return replicated;
    }
    return said?.member ?? this.#former().get(raftId);
  }

  /** The other replicated members; before anything was replicated, those that were told. */
  others(): readonly Member[] {
    const known = this.#replicated();
    const ids = [...(known.size > 0 ? known : this.#said).keys()];
    return ids.flatMap((raftId) => (raftId === this.#self.raftId ? [] : (this.get(raftId) ?? [])));
  }

  /** What all of them are told at intervals. */
  hello(): Envelope {
    // Also those of whom the log says the same: the log of another one may say less.
    const others = this.others().filter(({ raftId }) => this.#isSure(raftId));
    return { kind: 'hello', member: this.#self, others };
  }

  /** Members that said themselves, and go on saying, that they are reached elsewhere than the log says. */
  moved(): readonly Member[] {
    const members: Member[] = [];
    for (const { raftId, address } of this.#replicated().values()) {
      const now = this.get(raftId);
      const sure = raftId === this.#self.raftId || this.#isSure(raftId);
      if (now && now.address !== address && sure) members.push(now);
    }
    return members;
  }

  /** What the end of this member's own log says, once everything before is applied. */
  recall({ after, members }: LastSaid, applied: number): void {
    if (this.#recalled || applied < after) return;
    this.#recalled = true;
    this.said(0, members);
  }

  /** Member `from` said where itself and others are reached. Of others that are heard here they know better. */
  said(from: number, members: readonly Member[]): void {
    for (const member of members) {
      const { raftId, nodeId, address } = member;
      const replicated = this.#replicated().get(raftId);
      if (raftId === this.#self.raftId || (replicated && replicated.nodeId !== nodeId)) continue;
      const over = replicated?.address;
      const direct = raftId === from;
      if (!direct && (address === over || this.#isSure(raftId))) continue;
      this.#said.set(raftId, { member: { raftId, nodeId, address }, over, direct });
    }
  }

  heard(raftId: number): void {
    this.#heardAt.set(raftId, this.#clock.monotonicMs());
  }

  lost(raftId: number): void {
    this.#heardAt.delete(raftId);
  }

  /** Undefined when nothing was heard since the last connection was lost. */
  silentMs(raftId: number): number | undefined {
    const at = this.#heardAt.get(raftId);
    return at === undefined ? undefined : this.#clock.monotonicMs() - at;
  }

  heardWithin(raftId: number, periodMs: number): boolean {
    const at = this.#heardAt.get(raftId);
    return at !== undefined && this.#clock.monotonicMs() - at <= periodMs;
  }

  #isSure(raftId: number): boolean {
    return this.#said.get(raftId)?.direct === true && this.heardWithin(raftId, this.#freshMs);
  }
}
