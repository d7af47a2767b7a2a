import {
  type Clock,
  type Logger,
  newObjectId,
  type Random,
  sleep,
  type Timer,
} from '../io/index.ts';
import {
  type Change,
  ClusterError,
  type Decider,
  type DeciderInput,
  type Decision,
  type DecisionSteps,
  DraftTables,
  type InstantMs,
  type ObjectKind,
  type Refusal,
  type TaskId,
} from '../model/index.ts';
import { MergedChanges, placedByNode } from './batch.ts';
import type { Batch, Store } from './contract.ts';
import { DirtySet } from './dirty.ts';

export interface ControlLoopOptions {
  readonly store: Pick<Store, 'view' | 'now' | 'propose' | 'watch' | 'onLeadership'>;
  /** Run in this order over one draft; a later one sees what an earlier one decided. */
  readonly deciders: readonly Decider[];
  /** Kinds that none of the deciders looks at: their changes call nobody. */
  readonly ignored?: ReadonlySet<ObjectKind> | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** How long deciding may keep everything else from running. */
const SLICE_MS = 2;
const CHANGES_PER_STEP = 100;
/** A step of a decider, or a whole one without steps, that took longer held up heartbeats. */
const STEP_BUDGET_MS = 50;
const WAKE_MIN_MS = 10;
const WAKE_MAX_MS = 60 * 60 * 1000;
const PAUSE_MS = 500;

/**
 * Turn decisions into writes for as long as this manager leads: what changed, asked of all deciders, proposed as one.
 * When an object changed under a decision the whole decision is dropped and made again. Resolves when `signal` aborts.
 */
export async function runControlLoop(options: ControlLoopOptions): Promise<void> {
  const { store, signal, clock, logger } = options;
  const loop = new ControlLoop(options);
  using _watch = store.watch((batch) => loop.changed(batch));
  using _leadership = store.onLeadership((leading) => loop.leads(leading));
  const onAbort = (): void => loop.wake();
  signal.addEventListener('abort', onAbort, { once: true });
  while (!signal.aborted) {
    await loop.work();
    if (signal.aborted) break;
    try {
      await loop.pass();
    } catch (error) {
      logger.error('decisions could not be made or written', { error });
      await sleep(clock, PAUSE_MS, signal).catch(() => undefined);
    }
  }
  signal.removeEventListener('abort', onAbort);
  loop.leads(false);
}

class ControlLoop {
  readonly #options: ControlLoopOptions;
  #leading = false;
  /** Counts the times that leading began or ended. */
  #reign = 0;
  #dirty = new DirtySet();
  /** … and all else that there is. */
  #everything = false;
  /** Something changed, or a decider asked to be called again by now. */
  #due = false;
  #timer: Timer | undefined;
  #wake: (() => void) | undefined;
  /** When deciding has to let other work run. */
  #sliceEnd: number | undefined;

  constructor(options: ControlLoopOptions) {
    this.#options = options;
  }

  leads(leading: boolean): void {
    this.#leading = leading;
    this.#reign += 1;
    this.#timer?.cancel();
    this.#dirty = new DirtySet();
    this.#everything = leading;
    this.#due = leading;
    this.wake();
  }

  changed(batch: Batch): void {
    if (!this.#leading) return;
    const { ignored } = this.#options;
    if (!batch.reset && batch.changes.every(({ kind }) => ignored?.has(kind))) return;
    if (batch.reset) this.#everything = true;
    else this.#dirty.add(batch.changes);
    // Kinds without a dirty set may matter to a decider too.
    this.#due = true;
    this.wake();
  }

  wake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  /** Resolves when there is something to decide, or the loop has to end; in a turn of its own. */
  async work(): Promise<void> {
    for (;;) {
      // What changes in this turn of the event loop is decided about together.
      await nextTurn();
      this.#sliceEnd = undefined;
      const { signal } = this.#options;
      if (signal.aborted || (this.#leading && this.#due)) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async pass(): Promise<void> {
    const { store, logger, signal } = this.#options;
    const reign = this.#reign;
    const dirty = this.#dirty;
    this.#dirty = new DirtySet();
    const everything = this.#everything;
    this.#everything = false;
    this.#due = false;
    try {
      if (everything) await this.#addEverything(dirty);
      const changes = await this.#decide(dirty, reign);
      if (changes.length > 0) await store.propose(changes, { signal, asLeader: true });
    } catch (error) {
      if (this.#reign !== reign || signal.aborted) return;
      dirty.merge(this.#dirty);
      this.#dirty = dirty;
      this.#due = true;
      if (!isConflict(error)) throw error;
      logger.debug('decided on what had changed meanwhile; deciding again', { error });
    }
  }

  async #addEverything(dirty: DirtySet): Promise<void> {
    for (const _ of dirty.addingEverything(this.#options.store.view)) await this.#pauseIfDue();
  }

  /** Nothing when the reign ended meanwhile: what was decided in it must not be written in the next. */
  async #decide(dirty: DirtySet, reign: number): Promise<readonly Change[]> {
    const { store, deciders, random, clock } = this.#options;
    const draft = new DraftTables(store.view);
    const merged = new MergedChanges();
    const now = store.now();
    const monotonicMs = clock.monotonicMs();
    const newTaskId = (): TaskId => newObjectId(random) as TaskId;
    let wakeAt: InstantMs | undefined;
    for (const decide of deciders) {
      const begun = store.view.index;
      const input = { view: draft, dirty, now, monotonicMs, newTaskId };
      const decision = await this.#inSlices(decide, input);
      for (const change of decision.changes) {
        const refusal = draft.add(change);
        if (refusal) throw misfit(decide, refusal, begun !== store.view.index);
        merged.add(change);
        if (draft.changes.length % CHANGES_PER_STEP === 0) await this.#pauseIfDue();
      }
      if (this.#reign !== reign) return [];
      if (decision.wakeAt !== undefined) wakeAt = earlier(wakeAt, decision.wakeAt);
    }
    this.#wakeAt(wakeAt, now);
    const changes = placedByNode(merged.all);
    await this.#pauseIfDue();
    return this.#reign === reign ? changes : [];
  }

  /** Lets other work run whenever deciding had its slice of a turn. */
  async #inSlices(decide: Decider, input: DeciderInput): Promise<Decision> {
    const { clock, logger } = this.#options;
    const steps = (decide.steps ?? wholly(decide))(input);
    for (;;) {
      const begun = clock.monotonicMs();
      this.#sliceEnd ??= begun + SLICE_MS;
      const { done, value } = steps.next();
      const tookMs = clock.monotonicMs() - begun;
      if (tookMs > STEP_BUDGET_MS) logger.warn('a step of a decision took long', { tookMs });
      await this.#pauseIfDue();
      if (done) return value;
    }
  }

  async #pauseIfDue(): Promise<void> {
    const now = this.#options.clock.monotonicMs();
    this.#sliceEnd ??= now + SLICE_MS;
    if (now < this.#sliceEnd) return;
    await nextTurn();
    this.#sliceEnd = undefined;
  }

  #wakeAt(instant: InstantMs | undefined, now: InstantMs): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (instant === undefined) return;
    const delayMs = Math.min(Math.max(instant - now, WAKE_MIN_MS), WAKE_MAX_MS);
    this.#timer = this.#options.clock.after(delayMs, () => {
      this.#due = true;
      this.wake();
    });
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A decider without pauses, as one step. */
function wholly(decide: Decider): DecisionSteps {
  // biome-ignore lint/correctness/useYield: there is nothing to pause between
  return function* (input) {
    return decide(input);
  };
}

/** While it decided the view may have moved under it: then it is asked again. Otherwise it is wrong. */
function misfit(decide: Decider, { reason, kind }: Refusal, moved: boolean): ClusterError {
  const text = `${decide.name} decided a change of ${kind} that does not fit: ${reason}`;
  return new ClusterError(moved ? 'conflict' : 'system', text);
}

/** Another writer was faster. */
function isConflict(error: unknown): boolean {
  if (!(error instanceof ClusterError)) return false;
  return error.kind === 'conflict' || error.kind === 'not-found';
}

function earlier(left: InstantMs | undefined, right: InstantMs): InstantMs {
  return left === undefined || right < left ? right : left;
}
