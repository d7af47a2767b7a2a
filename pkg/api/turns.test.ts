import { expect, test } from 'vitest';
import { nextTurn } from './turns.ts';

test('of all who wait, one is served in a turn of the loop, in order', async () => {
  let turn = 0;
  let over = false;
  const count = (): void => {
    turn++;
    if (!over) setImmediate(count);
  };
  setImmediate(count);
  const served: [number, number][] = [];
  const work = async (name: number): Promise<void> => {
    for (let slice = 0; slice < 3; slice++) {
      await nextTurn();
      served.push([name, turn]);
    }
  };
  await Promise.all([0, 1, 2, 3].map(work));
  over = true;
  expect(served.map(([name]) => name)).toEqual([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]);
  expect(new Set(served.map(([, at]) => at)).size).toBe(served.length);
});
