import type { Operation } from './history.ts';

/** What a single copy would do. States are compared by identity, so they are plain values. */
export interface Model<S extends string | undefined, I, O> {
  /** Operations of different parts do not affect each other and are judged one by one. */
  part(input: I): string;
  readonly initial: S;
  /**
   * What the operation leaves behind if it takes effect now; `refused` when it could not have had this output. An
   * `output` of undefined is unknown: what matters is only what it leaves behind.
   */
  step(state: S, input: I, output: O | undefined): S | typeof refused;
}

export const refused = Symbol('refused');

export interface Violation<I, O> {
  readonly part: string;
  /** All operations of the part, by the time of their call. */
  readonly operations: readonly Operation<I, O>[];
  /** The longest order found that explains a beginning of it. */
  readonly explained: readonly Operation<I, O>[];
  /** Returned next, and no order has a place for it. */
  readonly stuck: Operation<I, O>;
}

/** Places in the search after which a history counts as too hard to judge. */
const CONFIGURATIONS_MAX = 5_000_000;

/**
 * Whether one copy, changed at one instant between call and return of each operation, explains every output (Herlihy
 * and Wing 1990). An operation of unknown outcome may have taken effect at any time after its call, or never. Searched
 * as by Wing and Gong (1993), with Lowe's memory of the places that were tried.
 * @returns undefined when it does, or the first part that it does not explain
 * @throws RangeError when a part needs too many steps to judge
 */
export function findViolation<S extends string | undefined, I, O>(
  model: Model<S, I, O>,
  history: readonly Operation<I, O>[],
): Violation<I, O> | undefined {
  const parts = new Map<string, Operation<I, O>[]>();
  for (const operation of history) {
    const part = model.part(operation.input);
    const list = parts.get(part);
    if (list) list.push(operation);
    else parts.set(part, [operation]);
  }
  for (const [part, list] of parts) {
    const operations = list.toSorted((left, right) => left.calledAt - right.calledAt);
    const found = new Search(model, operations).run();
    if (found) return { part, operations, ...found };
  }
  return undefined;
}

interface Event {
  readonly operation: number;
  readonly isCall: boolean;
  before: Event | undefined;
  next: Event | undefined;
  /** Of a call: the event of its return; undefined when it never returned. */
  answer?: Event | undefined;
}

interface Taken<S> {
  readonly call: Event;
  readonly state: S;
}

class Search<S extends string | undefined, I, O> {
  readonly #model: Model<S, I, O>;
  readonly #operations: readonly Operation<I, O>[];
  readonly #first: Event;
  readonly #taken: Taken<S>[] = [];
  readonly #done: Uint16Array;
  readonly #tried = new Set<string>();
  #returns: number;
  #state: S;
  #longest: readonly number[] = [];
  #stuck = 0;

  constructor(model: Model<S, I, O>, operations: readonly Operation<I, O>[]) {
    this.#model = model;
    this.#operations = operations;
    this.#state = model.initial;
    this.#done = new Uint16Array(Math.ceil(operations.length / 16));
    this.#first = linkEvents(operations);
    this.#returns = operations.filter(({ output }) => output !== undefined).length;
  }

  /** The operations left, as a list of calls and returns; taking one means removing both of its events. */
  run(): Pick<Violation<I, O>, 'explained' | 'stuck'> | undefined {
    let event = this.#first.next;
    while (this.#returns > 0) {
      if (event === undefined) throw new Error('a return is missing from the list');
      if (event.isCall) {
        event = this.#take(event) ? this.#first.next : event.next;
        continue;
      }
      this.#note(event.operation);
      const last = this.#taken.pop();
      if (last === undefined) return this.#failure();
      this.#putBack(last);
      event = last.call.next;
    }
    return undefined;
  }

  #take(call: Event): boolean {
    const operation = this.#at(call.operation);
    const next = this.#model.step(this.#state, operation.input, operation.output);
    // One of unknown outcome that changes nothing is as good as one that never happened.
    if (next === refused || (operation.output === undefined && next === this.#state)) return false;
    this.#flip(call.operation);
    const place = `${String.fromCharCode(...this.#done)}${next ?? ''}`;
    if (this.#tried.has(place)) {
      this.#flip(call.operation);
      return false;
    }
    this.#tried.add(place);
    if (this.#tried.size > CONFIGURATIONS_MAX) throw new RangeError('the history is too hard');
    this.#taken.push({ call, state: this.#state });
    this.#state = next;
    unlink(call);
    if (call.answer) {
      unlink(call.answer);
      this.#returns--;
    }
    return true;
  }

  #putBack({ call, state }: Taken<S>): void {
    this.#state = state;
    this.#flip(call.operation);
    if (call.answer) {
      relink(call.answer);
      this.#returns++;
    }
    relink(call);
  }

  #note(stuck: number): void {
    if (this.#taken.length < this.#longest.length) return;
    this.#longest = this.#taken.map(({ call }) => call.operation);
    this.#stuck = stuck;
  }

  #failure(): Pick<Violation<I, O>, 'explained' | 'stuck'> {
    const explained = this.#longest.map((index) => this.#at(index));
    return { explained, stuck: this.#at(this.#stuck) };
  }

  #flip(operation: number): void {
    const word = operation >> 4;
    this.#done[word] = (this.#done[word] ?? 0) ^ (1 << (operation & 15));
  }

  #at(index: number): Operation<I, O> {
    const operation = this.#operations[index];
    if (operation === undefined) throw new RangeError(`no operation ${index}`);
    return operation;
  }
}

/** In the order of time; at the same instant a call comes first, so that the two count as overlapping. */
function linkEvents<I, O>(operations: readonly Operation<I, O>[]): Event {
  const timed = operations.flatMap(({ calledAt, returnedAt, output }, operation) => {
    const call: Event = { operation, isCall: true, before: undefined, next: undefined };
    const answer: Event = { operation, isCall: false, before: undefined, next: undefined };
    if (output === undefined) return [{ at: calledAt, event: call }];
    call.answer = answer;
    return [
      { at: calledAt, event: call },
      { at: returnedAt, event: answer },
    ];
  });
  timed.sort(
    (left, right) => left.at - right.at || Number(right.event.isCall) - Number(left.event.isCall),
  );
  const first: Event = { operation: -1, isCall: true, before: undefined, next: undefined };
  let last = first;
  for (const { event } of timed) {
    last.next = event;
    event.before = last;
    last = event;
  }
  return first;
}

/** The event keeps its neighbours, so that `relink` in the reverse order restores the list. */
function unlink(event: Event): void {
  if (event.before) event.before.next = event.next;
  if (event.next) event.next.before = event.before;
}

function relink(event: Event): void {
  if (event.before) event.before.next = event;
  if (event.next) event.next.before = event;
}

/** For people: what was found, and the operations around the one that has no place. */
export function describeViolation<I, O>(violation: Violation<I, O>): string {
  const { part, operations, explained, stuck } = violation;
  const line = (operation: Operation<I, O>): string => {
    const { client, calledAt, returnedAt, input, output } = operation;
    const end = output === undefined ? 'unknown' : returnedAt.toFixed(2);
    const mark = operation === stuck ? '!' : explained.includes(operation) ? ' ' : '?';
    const what = `${JSON.stringify(input)} -> ${JSON.stringify(output) ?? 'unknown'}`;
    return `${mark} client ${client} [${calledAt.toFixed(2)}, ${end}] ${what}`;
  };
  const last = explained.at(-1);
  return [
    `${part}: no order explains these ${operations.length} operations; ${explained.length} have a place, "!" has none`,
    ...operations.map(line),
    `last explained: ${last ? line(last) : 'none'}`,
  ].join('\n');
}
