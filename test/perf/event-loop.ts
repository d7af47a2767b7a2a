/**
 * How late the event loop of a manager is with many tasks in the store, while configs are written, all tasks are listed
 * and log snapshots are taken, and then while another manager begins to lead: `npx tsx --conditions=source test/perf/event-loop.ts [--tasks=30000] [--services=30]
 * [--seconds=20] [--listings=2] [--writes=<per second, as many as can be>] [--profile=1]`. Three managers, their agents and this program share the processors: `own` is the time
 * for which the main thread had one in a round of the loop, and an empty Node process beside them shows what is nobody's
 * fault. `--profile` says who ran in the rounds that took too long. Needs root and a build.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { setPriority, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Host } from '../../deploy/lab/host.ts';
import { must } from '../../pkg/model/index.ts';
import { longRounds } from './cpu-profile.ts';
import { ApiClient, settledLeader, withLab } from './lab.ts';
import { option, report, round } from './measure.ts';

/** Milliseconds. */
interface Delay {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

interface Delays {
  /** As `monitorEventLoopDelay` sees it. */
  readonly all: Delay;
  /** What the main thread ran in one round of the loop. */
  readonly own: Delay;
  /** Garbage collections. */
  readonly gc: Delay;
  /** The rounds that took more than ten milliseconds. */
  readonly long: readonly {
    readonly wallMs: number;
    readonly ranMs: number;
    readonly gcMs: number;
  }[];
}

const tasks = option('tasks', 30_000);
const services = option('services', 30);
const seconds = option('seconds', 20);
const listings = option('listings', 2);
const writes = option('writes', Number.POSITIVE_INFINITY);
const profile = option('profile', 0) > 0;
const WRITERS = 4;
/** Some of these are a log snapshot by their size alone. */
const LARGE = Buffer.alloc(200_000, 'x').toString('base64');
const SMALL = Buffer.alloc(256, 'x').toString('base64');
/** Longer than an election takes. */
const AFTER_KILL_MS = 2000;
/** As in loop-probe.mjs. */
const LONG_MS = 10;
/** As `cmd/manager/priority.ts` has it. */
const MANAGER_PRIORITY = -10;
let made = 0;

const probe = `--import ${join(import.meta.dirname, 'loop-probe.mjs')}`;

async function delaysOf(pid: number, folder: string): Promise<Delays> {
  const file = join(folder, `${pid}.json`);
  rmSync(file, { force: true });
  process.kill(pid, 'SIGUSR2');
  for (;;) {
    try {
      return JSON.parse(readFileSync(file, 'utf8')) as Delays;
    } catch {
      await pause(20);
    }
  }
}

function service(name: string, replicas: number): object {
  return {
    Name: name,
    TaskTemplate: {
      ContainerSpec: { Image: 'none/none:1' },
      Placement: { Constraints: ['node.labels.nowhere==1'] },
    },
    Mode: { Replicated: { Replicas: replicas } },
  };
}

async function fill(client: ApiClient, leader: Host): Promise<void> {
  const each = Math.ceil(tasks / services);
  for (let at = 0; at < tasks; at += each) {
    await client.call('POST', '/services/create', service(`s${at}`, Math.min(each, tasks - at)));
  }
  const direct = new ApiClient(join(leader.runDir, 'manager.sock'));
  for (;;) {
    const text = await direct.text('GET', '/tasks');
    const found = text.split('"DesiredState"').length - 1;
    if (found >= tasks) break;
    await pause(500);
  }
  direct.close();
}

/** Everything at once until the time is over. Returns how often each was done. */
async function load(hosts: readonly Host[]): Promise<{ writes: number; listed: number }> {
  const end = performance.now() + seconds * 1000;
  const count = { writes: 0, listed: 0 };
  const repeat = async (host: Host, work: (client: ApiClient) => Promise<void>): Promise<void> => {
    const client = new ApiClient(join(host.runDir, 'manager.sock'));
    while (performance.now() < end) await work(client);
    client.close();
  };
  const write = async (client: ApiClient): Promise<void> => {
    const Data = made % 10 === 0 ? LARGE : SMALL;
    const begun = performance.now();
    await client.call('POST', '/configs/create', { Name: `c${made++}`, Data });
    count.writes++;
    const leftMs = (WRITERS * 1000) / writes - (performance.now() - begun);
    if (leftMs > 0) await pause(leftMs);
  };
  const list = async (client: ApiClient): Promise<void> => {
    const begun = performance.now();
    await client.text('GET', '/tasks');
    count.listed++;
    await pause(Math.max(0, 1000 / listings - (performance.now() - begun)));
  };
  const [first] = hosts;
  const writers = Array.from({ length: WRITERS }, () => repeat(first as Host, write));
  await Promise.all([...writers, ...hosts.map((host) => repeat(host, list))]);
  return count;
}

/** What a Node process sees that does nothing, and goes first like a manager. */
function startEmpty(): ChildProcess {
  const env = { ...process.env, LOOP_EMPTY: '1' };
  const child = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1e6)'], { env });
  setPriority(must(child.pid, 'a process'), MANAGER_PRIORITY);
  return child;
}

async function reportDelays(what: string, pid: number, folder: string, more = {}): Promise<void> {
  const { own, all, gc, long } = await delaysOf(pid, folder);
  report(`event loop delay p99.9 ${what}`, 'ms', [all.p999], {
    p50: round(all.p50),
    p99: round(all.p99),
    max: round(all.max),
    long: long.length,
    longByOwnWork: long.filter(({ ranMs }) => ranMs > LONG_MS).length,
    longByCollection: long.filter(({ wallMs, gcMs }) => gcMs > wallMs / 2).length,
    ownP99: round(own.p99),
    ownP999: round(own.p999),
    ownMax: round(own.max),
    collections: gc.count,
    collectionP50: round(gc.p50),
    collectionMax: round(gc.max),
    ...more,
  });
}

function snapshots(host: Host): number {
  const folder = join(host.dataDir, 'manager/raft/snap');
  return existsSync(folder) ? readdirSync(folder).length : 0;
}

const folder = mkdtempSync(join(tmpdir(), 'muster-perf-'));
process.env['LOOP_PROBE'] = folder;
process.env['NODE_OPTIONS'] = `${process.env['NODE_OPTIONS'] ?? ''} ${probe}`;
if (profile) process.env['LOOP_PROFILE'] = '1';
try {
  await withLab('perfloop', { managers: 3, agents: 0 }, async (lab) => {
    const leader = await settledLeader(lab);
    const hosts = [leader, ...lab.hosts.filter((host) => host.name !== leader.name)];
    const client = new ApiClient(leader.socket);
    const pids = hosts.map((host) => must(host.managerPid, 'a manager'));
    // Loading a program of 4 MB is one long round of its loop.
    for (const [at, pid] of pids.entries())
      await reportDelays(`while it starts, ${roleOf(at)}`, pid, folder);
    await fill(client, leader);
    for (const [at, pid] of pids.entries())
      await reportDelays(`while ${tasks} tasks are made, ${roleOf(at)}`, pid, folder);
    const empty = startEmpty();
    const counts = await load(hosts);
    for (const [at, host] of hosts.entries()) {
      await reportDelays(`with ${tasks} tasks, ${roleOf(at)}`, pids[at] as number, folder, {
        writes: counts.writes,
        listings: counts.listed,
        snapshots: snapshots(host),
      });
    }
    await reportDelays('of an empty process beside them', must(empty.pid, 'a process'), folder);
    empty.kill();
    process.kill(pids[0] as number, 'SIGKILL');
    await pause(AFTER_KILL_MS);
    const next = await settledLeader(lab);
    const pid = must(next.managerPid, 'a manager');
    await reportDelays(`of the next leader of ${tasks} tasks`, pid, folder);
    client.close();
  });
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'))) {
    for (const line of longRounds(join(folder, file))) process.stdout.write(`${line}\n`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function roleOf(position: number): string {
  return position === 0 ? 'leader' : `follower ${position}`;
}
