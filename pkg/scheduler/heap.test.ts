import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Heap } from './heap.ts';

test('what goes in comes out in order', () => {
  fc.assert(
    fc.property(fc.array(fc.integer()), (numbers) => {
      const heap = new Heap<number>((left, right) => left - right);
      for (const number of numbers) heap.push(number);
      const out: number[] = [];
      while (heap.size > 0) out.push(heap.pop() ?? Number.NaN);
      expect(out).toEqual(numbers.toSorted((left, right) => left - right));
    }),
  );
});
