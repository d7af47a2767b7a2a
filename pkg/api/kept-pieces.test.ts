import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { KeptPieces } from './kept-pieces.ts';

interface Item {
  readonly id: string;
  readonly spec: string;
}

/** Numbers that look random, the same in each run. */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor((state / 2 ** 31) * below);
  };
}

const next = random(7);
const newItem = (): Item => ({
  id: next(2 ** 30)
    .toString(36)
    .padStart(6, '0'),
  spec: `s${next(3)}`,
});

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

class Listing {
  readonly specs = new Map(['s0', 's1', 's2'].map((name) => [name, { name, version: 0 }]));
  readonly items = Array.from({ length: 5000 }, newItem);
  rendered = 0;
  readonly #kept = new KeptPieces<Item, string>();

  text(item: Item): string {
    return JSON.stringify({ id: item.id, spec: this.specs.get(item.spec) });
  }

  asked(items: readonly Item[] = this.items): string {
    const pieces = this.#kept.of(items, {
      text: (item) => {
        this.rendered += 1;
        return this.text(item);
      },
      sources: (item) => [item.spec],
      read: (source) => this.specs.get(source),
    });
    this.rendered = 0;
    return Buffer.concat([...pieces]).toString();
  }

  fresh(items: readonly Item[] = this.items): string {
    return items.map((item) => `,${this.text(item)}`).join('');
  }
}

test('a list is what it is now, whatever was kept; only what changed is rendered again', () => {
  const list = new Listing();
  expect(list.asked()).toBe(list.fresh());
  expect(list.rendered).toBe(5000);
  list.asked();
  expect(list.rendered).toBe(0);
  for (let round = 0; round < 200; round++) {
    const at = next(list.items.length);
    const changed = { ...(list.items[at] as Item) };
    if (round % 3 === 0) list.items.splice(at, 1);
    else if (round % 3 === 1) list.items.splice(at, 1, changed);
    else list.items.push(newItem());
    expect(list.asked()).toBe(list.fresh());
    // Its piece, and those behind it that ended because they were full.
    expect(list.rendered).toBeLessThan(1500);
  }
});

test('what the objects were made from counts too', () => {
  const list = new Listing();
  list.asked();
  list.specs.set('s1', { name: 's1', version: 1 });
  expect(list.asked()).toBe(list.fresh());
  expect(list.rendered).toBeGreaterThan(4000);
});

test('a part of a list is not the list', () => {
  const list = new Listing();
  list.asked();
  const part = list.items.filter(({ spec }) => spec === 's0');
  expect(list.asked(part)).toBe(list.fresh(part));
  expect(list.asked()).toBe(list.fresh());
});

test('what nobody asks for is not kept', () => {
  const list = new Listing();
  list.asked();
  vi.advanceTimersByTime(9000);
  list.asked();
  vi.advanceTimersByTime(9000);
  list.asked();
  expect(list.rendered).toBe(0);
  vi.advanceTimersByTime(11_000);
  expect(list.asked()).toBe(list.fresh());
  expect(list.rendered).toBe(5000);
});
