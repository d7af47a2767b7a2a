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
import type { Host } from '../../deploy/lab/host.ts';
import type { Lab } from '../../deploy/lab/lab.ts';
import { must } from '../../pkg/model/index.ts';
import { ApiClient, settledLeader, withLab } from './lab.ts';
import { option, quantile, report, round } from './measure.ts';
import { ContinuousWriter } from './writer.ts';

const seconds = option('seconds', 600);
const tasks = option('tasks', 30_000);
const listings = option('listings', 10);
const busy = option('busy', cpus().length);
/** Bytes of listings that were found to have all tasks: one that ends and is as long has them too. */
const complete = new Set<number>();
/** More listings than this under way would measure the queue of this program. */
const UNDER_WAY_MAX = 2 * listings;
/** USER_HZ. */
const MS_PER_TICK = 10;

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
    const programs = programsOf(lab, leader);
    const ran = programs.map(({ pid }) => processorMs(pid));
    const memory = rssMiB(must(leader.managerPid, 'a manager'));
    const begun = performance.now();
    const latencies = await list(client, begun + seconds * 1000);
    const spent = programs.map(({ name, pid }, at): [string, number] => [
      `${name}MsPerListing`,
      round((processorMs(pid) - (ran[at] ?? 0)) / latencies.length),
    ]);
    await writer.more(1);
    report('elections without a failure', 'count', [elections(lab) - before], {
      seconds,
      tasks,
      busyProcesses: busy,
      listingsAsked: seconds * listings,
      listingsAnswered: latencies.length,
      listingP50ms: round(quantile(latencies, 0.5)),
      listingP99ms: round(quantile(latencies, 0.99)),
      ...Object.fromEntries(spent),
      managerMiBBefore: round(memory),
      managerMiBAfter: round(rssMiB(must(leader.managerPid, 'a manager'))),
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
  const period = 1000 / listings;
  for (let due = performance.now(); due < until; due += period) {
    await pause(due - performance.now());
    if (underWay.size >= UNDER_WAY_MAX) continue;
    const begun = performance.now();
    const one = listAll(client).then(
      () => void latencies.push(performance.now() - begun),
      (error: unknown) => void process.stderr.write(`a listing failed: ${String(error)}\n`),
    );
    const entry: Promise<void> = one.finally(() => underWay.delete(entry));
    underWay.add(entry);
  }
  await Promise.all(underWay);
  return latencies;
}

/** Parsing each would take more of the processors than what is measured. */
async function listAll(client: ApiClient): Promise<void> {
  const chunks = await client.chunks('GET', '/tasks');
  const bytes = chunks.reduce((sum, { length }) => sum + length, 0);
  if (complete.has(bytes)) return;
  const { length } = JSON.parse(Buffer.concat(chunks).toString()) as readonly object[];
  if (length !== tasks) throw new Error(`it has ${length} of ${tasks} tasks`);
  complete.add(bytes);
}

interface Program {
  readonly name: string;
  readonly pid: number;
}

function programsOf(lab: Lab, leader: Host): readonly Program[] {
  const others = lab.hosts.filter((host) => host !== leader);
  return [
    { name: 'manager', pid: must(leader.managerPid, 'a manager') },
    { name: 'agent', pid: must(leader.agentPid, 'an agent') },
    { name: 'client', pid: process.pid },
    ...others.map((host, at) => ({
      name: `follower${at + 1}`,
      pid: must(host.managerPid, 'a manager'),
    })),
  ];
}

/** User and system time so far (proc(5)). */
function processorMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * MS_PER_TICK;
}

function rssMiB(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+)/m.exec(text)?.[1]) / 1024;
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
