import { expect, it } from 'vitest';
import { systemClock } from './clock.ts';

it('no delay is the end of this turn of the event loop, not a millisecond, and can be taken back', async () => {
  const seen: string[] = [];
  systemClock.after(0, () => seen.push('at once'));
  systemClock.after(-5, () => seen.push('overdue'));
  systemClock.after(0, () => seen.push('taken back')).cancel();
  seen.push('before');
  await new Promise((resolve) => setImmediate(resolve));
  expect(seen).toEqual(['before', 'at once', 'overdue']);
});
