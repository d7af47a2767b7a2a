import type { Clock } from '../../../pkg/io/index.ts';
import {
  type Change,
  ClusterError,
  type DraftTables,
  type InstantMs,
  Tables,
  type Version,
} from '../../../pkg/model/index.ts';
import type {
  Batch,
  Committed,
  Member,
  ProposeOptions,
  UpdateOptions,
} from '../../../pkg/store/contract.ts';
import { refusalError, StrictDraft, supersededError } from '../../../pkg/store/refusal.ts';
import type { OutcomeRefusal } from '../../../pkg/store/request-table.ts';
import { StoreClock } from '../../../pkg/store/store-clock.ts';
import type { World } from '../store/world.ts';
import type { ManagerStore } from './group.ts';

interface Entry {
  readonly changes: readonly Change[];
  readonly now: InstantMs;
}

/** A write on its way: it takes effect once, or its author never hears of it. */
export interface Request extends Entry {
  readonly author: ModelStore;
  /** Only if this one took effect. */
  readonly after: Request | undefined;
  /** Only in this term. */
  readonly term: number | undefined;
  /** Nobody waits for it any more. */
  over: boolean;
  index: number | undefined;
  refused: OutcomeRefusal | undefined;
}

/** What a copy needs of the group. */
export interface ModelLog {
  readonly world: World;
  readonly log: readonly Request[];
  readonly term: number;
  readonly leader: ModelStore | undefined;
  readonly selves: readonly Member[];
  /** A decision is written in pieces of so many changes. */
  readonly piece: number;
  reaches(one: ModelStore, other: ModelStore): boolean;
  send(request: Request): void;
}

const UPDATE_MS = 20_000;
const ATTEMPTS_MAX = 20;

interface Waiting {
  readonly request: Request;
  readonly done: () => void;
  readonly fail: (error: ClusterError) => void;
}

/** One manager's copy. It survives the process, as what is on a disk does. */
export class ModelStore implements ManagerStore {
  readonly self: Member;
  readonly view = new Tables();
  readonly #group: ModelLog;
  readonly #watchers = new Set<(batch: Batch) => void>();
  readonly #leadership = new Set<(leading: boolean) => void>();
  #clock: StoreClock | undefined;
  #stamp = 0 as InstantMs;
  #leads = false;
  /** The term in which it leads. */
  #reign = 0;
  applied = 0;
  isUp = false;
  /** Which process it is. */
  run = 0;
  #waiting: Waiting[] = [];

  constructor(group: ModelLog, self: Member) {
    this.#group = group;
    this.self = self;
  }

  get term(): number {
    return this.#group.term;
  }

  begin(clock: Clock): void {
    this.run++;
    this.#clock = new StoreClock(clock);
    this.isUp = true;
  }

  end(): void {
    this.run++;
    this.isUp = false;
    this.#leads = false;
    this.#watchers.clear();
    this.#leadership.clear();
    this.#waiting = [];
  }

  now(): InstantMs {
    return this.#clock?.now(this.#stamp) ?? this.#stamp;
  }

  async update<T>(
    work: (draft: DraftTables) => T,
    options: UpdateOptions = {},
  ): Promise<Committed<T>> {
    const term = this.#termOf(options);
    for (let attempt = 1; ; attempt++) {
      const draft = new StrictDraft(this.view);
      const value = work(draft);
      if (draft.changes.length === 0) return { value, index: this.view.index };
      const { index, refused } = await this.#await(this.#request(draft.changes, undefined, term));
      if (refused === undefined) return { value, index: index as Version };
      const again = refused.reason !== 'superseded' && attempt < ATTEMPTS_MAX;
      if (!again) throw refusalError(refused);
    }
  }

  async propose(
    changes: readonly Change[],
    options: ProposeOptions = {},
  ): Promise<Committed<void>> {
    const term = this.#termOf(options);
    const { piece } = this.#group;
    let after: Request | undefined;
    const sent: Promise<Request>[] = [];
    for (let at = 0; at < changes.length; at += piece) {
      const part = changes.slice(at, at + piece);
      const request = this.#request(part, after, term);
      after = request;
      sent.push(this.#await(request));
    }
    let index = this.view.index;
    for (const request of await Promise.all(sent)) {
      if (request.refused !== undefined) throw refusalError(request.refused);
      index = request.index as Version;
    }
    return { value: undefined, index };
  }

  watch(listener: (batch: Batch) => void): Disposable {
    this.#watchers.add(listener);
    return { [Symbol.dispose]: (): void => void this.#watchers.delete(listener) };
  }

  isLeader(): boolean {
    return this.#leads;
  }

  leader(): Member | undefined {
    const { leader } = this.#group;
    return leader && this.#group.reaches(this, leader) ? leader.self : undefined;
  }

  members(): ReturnType<ManagerStore['members']> {
    const leader = this.leader();
    return this.#group.selves.map((self) => ({
      ...self,
      role: 'voter',
      leader: leader === self,
      reachable: true,
    }));
  }

  onLeadership(listener: (leading: boolean) => void): Disposable {
    this.#leadership.add(listener);
    if (this.#leads) listener(true);
    return { [Symbol.dispose]: (): void => void this.#leadership.delete(listener) };
  }

  lead(leading: boolean): void {
    if (!this.isUp || this.#leads === leading) return;
    this.#leads = leading;
    this.#reign = this.#group.term;
    for (const listener of this.#leadership) listener(leading);
    const past = this.#waiting.filter(({ request }) => !leading && request.term !== undefined);
    for (const waiting of past) this.#giveUp(waiting);
  }

  #giveUp(waiting: Waiting): void {
    if (!this.#waiting.includes(waiting)) return;
    this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
    // Others go on trying: whoever asked was told that it may still happen.
    waiting.request.over = waiting.request.term !== undefined;
    waiting.fail(new ClusterError('deadline', 'the outcome of the write stayed unknown'));
  }

  /** Everything in the log up to and including entry `end`. */
  applyTo(end: number): void {
    while (this.applied < end) {
      const entry = this.#group.log[this.applied];
      if (!entry) throw new Error(`no entry ${this.applied}`);
      this.applied += 1;
      this.#apply(entry, this.applied as Version);
    }
  }

  #apply(entry: Request, index: Version): void {
    // The same everywhere, because it depends on the log alone.
    const refused = entry.refused ?? this.view.check(entry.changes);
    if (refused === undefined) {
      this.#stamp = Math.max(this.#stamp, entry.now) as InstantMs;
      const changes = this.view.apply(entry.changes, index, this.#stamp);
      const batch = { index, now: this.#stamp, changes, reset: false };
      for (const watcher of this.#watchers) watcher(batch);
    } else {
      this.view.advance(index);
      entry.refused = refused;
    }
    const done = this.#waiting.find(({ request }) => request === entry);
    if (!done) return;
    this.#waiting.splice(this.#waiting.indexOf(done), 1);
    done.done();
  }

  #termOf({ asLeader }: ProposeOptions): number | undefined {
    if (!asLeader) return undefined;
    if (!this.#leads) throw supersededError();
    return this.#reign;
  }

  #request(
    changes: readonly Change[],
    after: Request | undefined,
    term: number | undefined,
  ): Request {
    const now = this.now();
    return {
      author: this,
      changes,
      now,
      after,
      term,
      over: false,
      index: undefined,
      refused: undefined,
    };
  }

  #await(request: Request): Promise<Request> {
    return new Promise((resolve, reject) => {
      const waiting = { request, done: (): void => resolve(request), fail: reject };
      const { run } = this;
      this.#waiting.push(waiting);
      this.#group.send(request);
      this.#group.world.after(UPDATE_MS, () => {
        if (this.run === run && request.term === undefined) this.#giveUp(waiting);
      });
    });
  }
}

/** A process that was killed asks for nothing any more. */
export function ofProcess(member: ModelStore): ManagerStore {
  const { run } = member;
  const whileAlive = <T>(ask: () => Promise<T>): Promise<T> =>
    member.run === run ? ask() : new Promise<never>(() => undefined);
  return {
    view: member.view,
    now: () => member.now(),
    update: (work, options) => whileAlive(() => member.update(work, options)),
    propose: (changes, options) => whileAlive(() => member.propose(changes, options)),
    watch: (listener) => member.watch(listener),
    isLeader: () => member.run === run && member.isLeader(),
    leader: () => member.leader(),
    members: () => member.members(),
    onLeadership: (listener) => member.onLeadership(listener),
  };
}
