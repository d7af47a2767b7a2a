import type { Clock, Random } from '../io/index.ts';
import {
  type Change,
  ClusterError,
  type DraftTables,
  type InstantMs,
  type Version,
  type View,
} from '../model/index.ts';
import { CHANGES_PER_ENTRY_MAX, ENTRY_BYTES_MAX, type Piece, splitChanges } from './batch.ts';
import { type Command, encodeCommand, type RequestId } from './command.ts';
import type { Committed, ProposeOptions, UpdateOptions } from './contract.ts';
import type { Leadership } from './leadership.ts';
import type { Proposals } from './proposals.ts';
import { refusalError, StrictDraft, supersededError } from './refusal.ts';
import type { Outcome } from './request-table.ts';

export interface WritesOptions {
  readonly view: View;
  readonly clock: Clock;
  readonly random: Random;
  readonly now: () => InstantMs;
  readonly proposals: Proposals;
  readonly leadership: Leadership;
  readonly send: (data: Uint8Array, onDropped: () => void) => void;
}

interface Sent {
  readonly outcome: Promise<Outcome>;
  readonly json: string;
}

export type NewRequest = Pick<Command, 'id' | 'now' | 'base'>;

const UPDATE_MS = 20_000;
/** How long the making of a large write may keep everything else from running. */
const SLICE_MS = 2;
/** … and how much of it: each byte is encoded, encrypted and copied for the log and for each member. */
const SLICE_BYTES = 256 * 1024;
/** Runs of one `work` against writers that keep being faster. */
const ATTEMPTS_MAX = 20;

/** Transactions: from drafts and changes to requests, and from outcomes to answers. */
export class Writes {
  readonly #options: WritesOptions;

  constructor(options: WritesOptions) {
    this.#options = options;
  }

  newRequest(): NewRequest {
    const { random, now, view } = this.#options;
    const id = Buffer.from(random.bytes(16)).toString('hex');
    return { id, now: now(), base: view.index as Version };
  }

  async update<T>(work: (draft: DraftTables) => T, options: UpdateOptions): Promise<Committed<T>> {
    const { clock, view } = this.#options;
    const deadline = clock.monotonicMs() + (options.timeoutMs ?? UPDATE_MS);
    const term = this.#termOf(options);
    for (let attempt = 1; ; attempt++) {
      const draft = new StrictDraft(view);
      const value = work(draft);
      if (draft.changes.length === 0) return { value, index: view.index };
      const timeoutMs = Math.max(1, deadline - clock.monotonicMs());
      const outcome = await this.#submit(draft.changes, term, { ...options, timeoutMs });
      if (outcome.refusal === undefined) return { value, index: outcome.index };
      // Its refusal is applied here, so the next attempt sees what stood in the way.
      const again =
        options.retryStale !== false &&
        outcome.refusal.reason !== 'superseded' &&
        attempt < ATTEMPTS_MAX;
      if (!again) throw refusalError(outcome.refusal);
    }
  }

  async propose(changes: readonly Change[], options: ProposeOptions): Promise<Committed<void>> {
    const term = this.#termOf(options);
    if (changes.length === 0) return { value: undefined, index: this.#options.view.index };
    if (changes.length <= CHANGES_PER_ENTRY_MAX) {
      const request = { ...this.newRequest(), term, changes };
      const data = encodeCommand(request);
      if (data.length <= ENTRY_BYTES_MAX) {
        return committed(await this.#submitted(request, data, options));
      }
    }
    // All are known to fit before the first is sent.
    const pieces = await this.#inTurns(splitChanges(changes));
    const sent = await this.#inTurns(this.#chain(pieces, term, options));
    const settled = await Promise.allSettled(sent.map(({ outcome }) => outcome));
    let last: Committed<void> = { value: undefined, index: this.#options.view.index };
    for (const result of settled) {
      if (result.status === 'rejected') throw result.reason;
      last = committed(result.value);
    }
    return last;
  }

  /** Sends each piece when it is asked for; it takes effect only if the one before did. */
  *#chain(
    pieces: readonly Piece[],
    term: number | undefined,
    options: ProposeOptions,
  ): Iterable<Sent> {
    let after: RequestId | undefined;
    for (const { changes, json } of pieces) {
      const request = { ...this.newRequest(), after, term, changes };
      after = request.id;
      const outcome = this.#send(request, options, json);
      // It may fail before the last one is sent, and is looked at only then.
      outcome.catch(() => undefined);
      yield { outcome, json };
    }
  }

  /** All of them; what is long to make lets other work run in between. */
  async #inTurns<T extends { readonly json: string }>(items: Iterable<T>): Promise<readonly T[]> {
    const { clock } = this.#options;
    const made: T[] = [];
    let until = clock.monotonicMs() + SLICE_MS;
    let bytes = 0;
    for (const item of items) {
      made.push(item);
      bytes += item.json.length;
      if (bytes < SLICE_BYTES && clock.monotonicMs() < until) continue;
      await new Promise((resolve) => setImmediate(resolve));
      until = clock.monotonicMs() + SLICE_MS;
      bytes = 0;
    }
    return made;
  }

  /** @throws ClusterError unavailable when this member does not lead and has to */
  #termOf({ asLeader }: ProposeOptions): number | undefined {
    if (!asLeader) return undefined;
    const { leading, term } = this.#options.leadership;
    if (!leading) throw supersededError();
    return term;
  }

  #submit(
    changes: readonly Change[],
    term: number | undefined,
    options: ProposeOptions,
  ): Promise<Outcome> {
    return this.#send({ ...this.newRequest(), term, changes }, options);
  }

  async #send(request: Command, options: ProposeOptions, json?: string): Promise<Outcome> {
    const data = encodeCommand(request, json);
    if (data.length > ENTRY_BYTES_MAX) {
      const text = `the write has ${data.length} bytes, more than ${ENTRY_BYTES_MAX}`;
      throw new ClusterError('invalid', text);
    }
    return this.#submitted(request, data, options);
  }

  #submitted({ id, term }: Command, data: Uint8Array, options: ProposeOptions): Promise<Outcome> {
    return this.#options.proposals.submit({
      id,
      term,
      send: (onDropped) => this.#options.send(data, onDropped),
      timeoutMs: options.timeoutMs ?? UPDATE_MS,
      signal: options.signal,
    });
  }
}

function committed(outcome: Outcome): Committed<void> {
  if (outcome.refusal) throw refusalError(outcome.refusal);
  return { value: undefined, index: outcome.index };
}
