import { expect, it } from 'vitest';
import { mayRestartHere, NO_RESTARTS, oneMore, ownRestartDelayMs } from './alone.ts';

const policy = (RestartPolicy: object): { Name: string; TaskTemplate: object } => ({
  Name: 'web',
  TaskTemplate: { RestartPolicy },
});

it('restarts what the policy of its service wants to run', () => {
  const any = policy({});
  expect(mayRestartHere(any, 0, NO_RESTARTS)).toBe(true);
  expect(mayRestartHere(any, undefined, NO_RESTARTS)).toBe(true);
  expect(mayRestartHere(policy({ Condition: 'none' }), 1, NO_RESTARTS)).toBe(false);
  const failed = policy({ Condition: 'on-failure', MaxAttempts: 2 });
  expect(mayRestartHere(failed, 0, NO_RESTARTS)).toBe(false);
  expect(mayRestartHere(failed, 1, { total: 1, inRow: 1 })).toBe(true);
  expect(mayRestartHere(failed, 1, { total: 2, inRow: 1 })).toBe(false);
});

it('waits twice as long after each restart in a row, and as given after a long run', () => {
  const spec = policy({ Delay: 5e9 });
  let restarts = NO_RESTARTS;
  const delays: number[] = [];
  for (let time = 0; time < 8; time++) {
    delays.push(ownRestartDelayMs(spec, restarts));
    restarts = oneMore(spec, restarts, 1_000);
  }
  expect(delays.slice(0, 4)).toEqual([5_000, 10_000, 20_000, 40_000]);
  expect(delays.at(-1)).toBe(Math.min(640_000, delays.at(-1) ?? 0));
  expect(ownRestartDelayMs(spec, oneMore(spec, restarts, 3_600_000))).toBe(10_000);
});
