import { expect, test } from 'vitest';
import { packetsPassed } from './packets-passed.ts';

test('the kernel waits for what is under way, and this process goes on meanwhile', async () => {
  let turns = 0;
  const counting = setInterval(() => turns++, 1);
  const passed = Array.from({ length: 5 }, () => packetsPassed());
  await Promise.all(passed);
  clearInterval(counting);
  expect(turns).toBeGreaterThan(0);
});
