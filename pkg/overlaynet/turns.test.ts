import { expect, test } from 'vitest';
import { ownTurn } from './turns.ts';

test('who comes at the same time gets a turn each, in order, with whatever else is due in between', async () => {
  const order: string[] = [];
  const work = [1, 2, 3].map(async (number) => {
    await ownTurn();
    order.push(`work ${number}`);
    // As input that has arrived meanwhile: its turn is the next one.
    setImmediate(() => order.push('other'));
  });
  await Promise.all(work);
  await new Promise((resolve) => setImmediate(resolve));
  expect(order).toEqual(['work 1', 'other', 'work 2', 'other', 'work 3', 'other']);
});
