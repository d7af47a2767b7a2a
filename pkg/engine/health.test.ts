import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { type Clock, systemRandom, type Timer } from '../io/index.ts';
import type { ExecHandle, ExitStatus } from '../runtime/index.ts';
import { HealthMonitor, healthPlan } from './health.ts';

/** The status after one check that ended with `code`, in a container that runs on or not. */
async function afterCheck(code: number, isRunning: boolean): Promise<readonly string[]> {
  const said: string[] = [];
  const timers: (() => void)[] = [];
  const timer: Timer = { cancel: () => undefined, [Symbol.dispose]: () => undefined };
  const clock = {
    now: (): number => 0,
    monotonicMs: (): number => 0,
    after: (_: number, action: () => void): Timer => {
      timers.push(action);
      return timer;
    },
  } as unknown as Clock;
  const handle = {
    stdout: new PassThrough(),
    stderr: new PassThrough(),
    wait: (): Promise<ExitStatus> => Promise.resolve({ code, oomKilled: false, finishedAtNs: 0n }),
    close: (): void => undefined,
  } as unknown as ExecHandle;
  const plan = healthPlan({ Test: ['CMD', 'true'], Retries: 1 });
  if (!plan) throw new Error('no plan');
  const monitor = new HealthMonitor({
    plan,
    clock,
    random: systemRandom,
    exec: (): Promise<ExecHandle> => Promise.resolve(handle),
    onStatus: (status): void => void said.push(status),
    isRunning: (): Promise<boolean> => Promise.resolve(isRunning),
  });
  timers[0]?.();
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
  monitor.stop();
  return said;
}

it('a check that fails because its container ends says nothing about health', async () => {
  expect(await afterCheck(0, true)).toEqual(['healthy']);
  expect(await afterCheck(1, true)).toEqual(['unhealthy']);
  expect(await afterCheck(137, false)).toEqual([]);
});
