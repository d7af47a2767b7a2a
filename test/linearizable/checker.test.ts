import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { describeViolation, findViolation } from './checker.ts';
import { History, type Operation } from './history.ts';
import { namedRegister, type RegisterInput, type RegisterOutput } from './named-register.ts';

type Op = Operation<RegisterInput, RegisterOutput>;
const name = 'n';
const done = { kind: 'done' } as const;
const no = { kind: 'refused' } as const;
const absent = { kind: 'absent' } as const;
const found = (text: string): RegisterOutput => ({ kind: 'found', text });
const create = (text: string): RegisterInput => ({ kind: 'create', name, text });
const read: RegisterInput = { kind: 'read', name };
const swap = (expected: string, text: string): RegisterInput => ({
  kind: 'swap',
  name,
  expected,
  text,
});

/** `[called, returned, input, output]`; without an output the outcome is unknown. */
type Row = readonly [number, number, RegisterInput, RegisterOutput?];
const history = (rows: readonly Row[]): readonly Op[] =>
  rows.map(([calledAt, returnedAt, input, output], client) => ({
    client,
    input,
    output,
    calledAt,
    returnedAt,
  }));

const GOOD: Readonly<Record<string, readonly Row[]>> = {
  'nothing at all': [],
  'one after the other': [
    [0, 1, read, absent],
    [2, 3, create('a'), done],
    [4, 5, read, found('a')],
    [6, 7, swap('a', 'b'), done],
    [8, 9, read, found('b')],
  ],
  'an overlapping read sees the old or the new': [
    [0, 1, create('a'), done],
    [2, 9, swap('a', 'b'), done],
    [3, 4, read, found('a')],
    [5, 6, read, found('b')],
  ],
  'of two overlapping creates one is refused': [
    [0, 9, create('a'), no],
    [1, 8, create('b'), done],
    [2, 3, read, found('b')],
  ],
  'an unknown write takes effect long after': [
    [0, 1, create('a'), done],
    [2, 0, swap('a', 'b')],
    [10, 11, read, found('a')],
    [12, 13, read, found('b')],
  ],
  'an unknown write never takes effect': [
    [0, 1, create('a'), done],
    [2, 0, swap('a', 'b')],
    [10, 11, swap('a', 'c'), done],
    [12, 13, read, found('c')],
  ],
  'an unknown create explains that its repetition is refused': [
    [0, 0, create('a')],
    [5, 6, create('b'), no],
    [7, 8, read, found('a')],
  ],
  'touching at one instant counts as overlapping': [
    [0, 1, create('a'), done],
    [1, 2, swap('a', 'b'), done],
    [2, 3, read, found('a')],
  ],
};

const BAD: Readonly<Record<string, readonly Row[]>> = {
  'an acknowledged write is lost': [
    [0, 1, create('a'), done],
    [2, 3, read, absent],
  ],
  'a read goes back in time': [
    [0, 1, create('a'), done],
    [2, 20, swap('a', 'b'), done],
    [3, 4, read, found('b')],
    [5, 6, read, found('a')],
  ],
  'a stale read after the write was acknowledged': [
    [0, 1, create('a'), done],
    [2, 3, swap('a', 'b'), done],
    [4, 5, read, found('a')],
  ],
  'a phantom': [[0, 1, read, found('a')]],
  'two creates of one name': [
    [0, 5, create('a'), done],
    [1, 6, create('b'), done],
  ],
  'refused by its own first attempt': [
    [0, 9, create('a'), no],
    [10, 11, read, found('a')],
  ],
  'two swaps from the same text': [
    [0, 1, create('a'), done],
    [2, 9, swap('a', 'b'), done],
    [2, 9, swap('a', 'c'), done],
  ],
  'a swap refused although nothing changed': [
    [0, 1, create('a'), done],
    [2, 3, swap('a', 'b'), no],
    [4, 5, read, found('a')],
  ],
  'an unknown write is seen, then not': [
    [0, 1, create('a'), done],
    [2, 0, swap('a', 'b')],
    [3, 4, read, found('b')],
    [5, 6, read, found('a')],
  ],
  'a write takes effect before its call': [
    [0, 1, create('a'), done],
    [2, 3, read, found('b')],
    [4, 5, swap('a', 'b'), done],
  ],
};

for (const [title, rows] of Object.entries(GOOD)) {
  test(`explained: ${title}`, () => {
    expect(findViolation(namedRegister, history(rows))).toBeUndefined();
  });
}

for (const [title, rows] of Object.entries(BAD)) {
  test(`not explained: ${title}`, () => {
    const violation = findViolation(namedRegister, history(rows));
    expect(violation?.part).toBe(name);
    expect(violation && describeViolation(violation)).toContain('\n! client');
  });
}

test('parts are judged alone', () => {
  const other = { kind: 'read', name: 'other' } as const;
  const operations = history([
    [0, 1, create('a'), done],
    [2, 3, other, found('x')],
  ]);
  expect(findViolation(namedRegister, operations)?.part).toBe('other');
});

test('what a recorder saw of calls that end in each way', () => {
  let now = 0;
  const recorder = new History<RegisterInput, RegisterOutput>(() => now++);
  const open = recorder.call(1, create('a'));
  recorder.call(2, read).nothing();
  recorder.call(3, swap('a', 'b'));
  open.returned(done);
  expect(recorder.operations).toEqual([
    { client: 1, input: create('a'), output: done, calledAt: 0, returnedAt: 3 },
    {
      client: 3,
      input: swap('a', 'b'),
      output: undefined,
      calledAt: 2,
      returnedAt: Number.POSITIVE_INFINITY,
    },
  ]);
});

/** The one copy. */
class Register {
  #text: string | undefined;

  create(text: string): RegisterOutput {
    if (this.#text !== undefined) return no;
    this.#text = text;
    return done;
  }

  read(): RegisterOutput {
    return this.#text === undefined ? absent : found(this.#text);
  }

  swap(expected: string, text: string): RegisterOutput {
    if (this.#text === undefined) return absent;
    if (this.#text !== expected) return no;
    this.#text = text;
    return done;
  }

  get text(): string {
    return this.#text ?? 'none';
  }
}

type Draw = readonly [called: number, wait: number, hold: number, kind: number];

/** Plays random operations on one copy, each at a random instant between its call and its return. */
function play(draws: readonly Draw[]): readonly Op[] {
  const register = new Register();
  const planned = draws.map(([calledAt, wait, hold, kind], client) => {
    const instant = calledAt + wait;
    return { client, calledAt, instant, returnedAt: instant + hold, kind, text: `t${client}` };
  });
  planned.sort((left, right) => left.instant - right.instant);
  return planned.map(({ client, calledAt, returnedAt, kind, text }) => {
    const base = { client, calledAt, returnedAt };
    if (kind % 3 === 1) return { ...base, input: read, output: register.read() };
    const expected = kind % 2 === 0 ? register.text : 'other';
    const input = kind % 3 === 0 ? create(text) : swap(expected, text);
    const output = kind % 3 === 0 ? register.create(text) : register.swap(expected, text);
    return { ...base, input, output: kind % 7 === 0 ? undefined : output };
  });
}

const draw = fc.tuple(
  fc.nat(200),
  fc.nat(30).map((wait) => wait + 0.25),
  fc.nat(30).map((hold) => hold + 0.25),
  fc.nat(100),
);

test('whatever one copy did is explained', () => {
  const property = fc.property(fc.array(draw, { maxLength: 60 }), (draws) => {
    expect(findViolation(namedRegister, play(draws))).toBeUndefined();
  });
  expect(fc.check(property, { numRuns: 300 })).toMatchObject({ failed: false });
});

test('a text that nobody can have read is noticed wherever it is', () => {
  const property = fc.property(fc.array(draw, { minLength: 1, maxLength: 40 }), (draws) => {
    const operations = play(draws).map((operation, at) =>
      at === 0 ? { ...operation, input: read, output: found('never written') } : operation,
    );
    expect(findViolation(namedRegister, operations)).toBeDefined();
  });
  expect(fc.check(property, { numRuns: 200 })).toMatchObject({ failed: false });
});
