import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { silentLogger, systemClock } from '../../pkg/io/index.ts';
import { ManagerSupervisor, type Obstacle } from './supervise-manager.ts';

test('a manager that was taken out of the group is not started, and whoever asked hears of it once', async () => {
  const runDir = mkdtempSync(join(tmpdir(), 'supervise-'));
  let looks = 0;
  let obstacle: Obstacle = 'locked';
  const supervisor = new ManagerSupervisor({
    program: '/nowhere/manager.js',
    args: [],
    runDir,
    logFile: join(runDir, 'manager.log'),
    clock: { ...systemClock, after: (_ms, action) => systemClock.after(1, action) },
    log: silentLogger,
    obstacle: (): Obstacle => {
      looks++;
      return obstacle;
    },
  });
  let heard = 0;
  const removed = new Promise<void>((resolve) => {
    supervisor.whenRemoved(() => {
      heard++;
      resolve();
    });
  });
  supervisor.start();
  while (looks < 3) await new Promise((resolve) => setImmediate(resolve));
  expect([heard, supervisor.obstacle]).toEqual([0, 'locked']);
  obstacle = 'removed';
  await removed;
  for (const seen = looks; looks < seen + 3; )
    await new Promise((resolve) => setImmediate(resolve));
  expect([heard, supervisor.obstacle]).toEqual([1, 'removed']);
  await supervisor.stop();
  rmSync(runDir, { recursive: true });
});
