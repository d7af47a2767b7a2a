/**
 * Elections that nothing but load caused: three managers with many tasks, every core busy with other processes, and full
 * task listings of the leader at a fixed rate:
 * `npx tsx --conditions=source test/perf/calm.ts [--seconds=600] [--tasks=30000] [--listings=10] [--busy=<cores>]`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Lab } from '../../deploy/lab/lab.ts';
import { ApiClient, settledLeader, withLab } from './lab.ts';
import { option, quantile, report, round } from './measure.ts';
import { ContinuousWriter } from './writer.ts';

const seconds = option('seconds', 600);
const tasks = option('tasks', 30_000);
const listings = option('listings', 10);
const busy = option('busy', cpus().length);
/** More listings than this under way would measure the queue of this program. */
const UNDER_WAY_MAX = 2 * listings;

await withLab('perfcalm', { managers: 3, agents: 0 }, async (lab) => {
  const leader = await settledLeader(lab);
  const client = new ApiClient(leader.socket);
  await makeTasks(client);
  const children = Array.from({ length: busy }, busyLoop);
  const writer = new ContinuousWriter(
    lab.hosts.filter((host) => host !== leader),
    'calm',
  );
  try {
    const before = elections(lab);
    const begun = performance.now();
    const latencies = await list(client, begun + seconds * 1000);
    await writer.more(1);
    report('elections without a failure', 'count', [elections(lab) - before], {
      seconds,
      tasks,
      busyProcesses: busy,
      listingsAsked: seconds * listings,
      listingsAnswered: latencies.length,
      listingP50ms: round(quantile(latencies, 0.5)),
      listingP99ms: round(quantile(latencies, 0.99)),
      writes: writer.count,
      failedWrites: writer.failures.length,
      longestWriteGapMs: round(writer.gapSince(begun)),
    });
  } finally {
    for (const child of children) child.kill('SIGKILL');
    await writer.stop();
    client.close();
  }
});

/** Tasks that no node takes: they wait, and are listed. */
async function makeTasks(client: ApiClient): Promise<void> {
  await client.call('POST', '/services/create', {
    Name: 'many',
    TaskTemplate: {
      ContainerSpec: { Image: 'none' },
      Placement: { Constraints: ['node.labels.nowhere==yes'] },
    },
    Mode: { Replicated: { Replicas: tasks } },
  });
  for (;;) {
    // While they are made the leader may be too busy to answer.
    const list = await client.call('GET', '/tasks').catch(() => []);
    if ((list as readonly object[]).length >= tasks) return;
    await pause(1000);
  }
}

async function list(client: ApiClient, until: number): Promise<readonly number[]> {
  const latencies: number[] = [];
  const underWay = new Set<Promise<void>>();
  while (performance.now() < until) {
    if (underWay.size < UNDER_WAY_MAX) {
      const begun = performance.now();
      const one = client.text('GET', '/tasks').then(
        () => void latencies.push(performance.now() - begun),
        () => undefined,
      );
      const entry: Promise<void> = one.finally(() => underWay.delete(entry));
      underWay.add(entry);
    }
    await pause(1000 / listings);
  }
  await Promise.all(underWay);
  return latencies;
}

function busyLoop(): ChildProcess {
  return spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' });
}

/** How often a manager noted that it has a (new) leader. */
function elections(lab: Lab): number {
  const counts = lab.hosts.map((host) => {
    const log = readFileSync(join(host.dataDir, 'manager.log'), 'utf8');
    return log.split('manager group has a leader').length - 1;
  });
  return Math.max(...counts);
}
