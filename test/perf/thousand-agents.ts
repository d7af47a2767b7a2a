/**
 * Three managers and a thousand simulated agents over gRPC with mutual TLS on the loopback, logs synced:
 * `npm run build && npx tsx --conditions=source test/perf/thousand-agents.ts [--agents=1000] [--tasks=30000] [--services=30] [--profile=1]`.
 * `--profile` says what kept the managers busy while agents joined, tasks were placed, one more node joined and one was lost.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { profileInto, takeProfiles } from './cpu-profile.ts';
import { Crowd } from './crowd.ts';
import { ApiClient } from './lab.ts';
import { cpuSeconds, type Managers, residentMb, startManagers } from './managers.ts';
import { option, quantile, report, round } from './measure.ts';

const agents = option('agents', 1000);
const tasks = option('tasks', 30_000);
const services = option('services', 30);
const creates = option('creates', 50);
const profile = option('profile', 0) > 0;
const LIMIT_MS = 240_000;
const WINDOW_MS = 6000;
const PROFILE_ROWS = 25;
const JOINS = 10;
const EXPLAINED = 200;

/** A service's status as the API lists it. */
interface Listed {
  readonly ServiceStatus?: { readonly RunningTasks: number };
}

interface Identified {
  readonly ID: string;
}

const folder = mkdtempSync(join(tmpdir(), 'muster-thousand-'));
if (profile) profileInto(folder);
let managers: Managers | undefined;
let crowd: Crowd | undefined;
try {
  managers = await startManagers(folder, 3);
  crowd = await Crowd.start(folder);
  await measure(managers, crowd);
} finally {
  crowd?.end();
  for (const one of managers?.all ?? []) one.process.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}

async function measure(group: Managers, many: Crowd): Promise<void> {
  const [leader] = group.all;
  if (!leader) return;
  const client = new ApiClient(leader.socket);
  const joining = performance.now();
  const before = cpuSeconds(leader);
  many.join(group, agents);
  await many.until('agents join', ({ joined }) => joined === agents);
  report(`${agents} agents join`, 's', [(performance.now() - joining) / 1000], {
    leaderCpuS: round(cpuSeconds(leader) - before),
  });
  await measurePlacement(group, client, many);
  await measureNodes(group, leader, many);
  await measureCreates(client);
  await measureExplain(client);
  const global = performance.now();
  await client.call('POST', '/services/create', specOf('everywhere', { Global: {} }), LIMIT_MS);
  await running(client, agents + JOINS - 1, 'everywhere');
  report('a global service runs on every node', 's', [(performance.now() - global) / 1000]);
  client.close();
}

async function measurePlacement({ all }: Managers, client: ApiClient, many: Crowd): Promise<void> {
  await record(all, 'joining');
  const before = all.map(cpuSeconds);
  const begun = performance.now();
  const each = tasks / services;
  const creating = Array.from({ length: services }, (_, number) =>
    client.call(
      'POST',
      '/services/create',
      specOf(`many${number}`, { Replicated: { Replicas: each } }),
      LIMIT_MS,
    ),
  );
  await Promise.all(creating);
  await many.until('all are assigned', ({ assigned }) => assigned >= tasks);
  const assignedS = (performance.now() - begun) / 1000;
  await running(client, tasks);
  const runningS = (performance.now() - begun) / 1000;
  report('placements committed and known to agents', '/s', [tasks / assignedS], {
    tasks,
    assignedS: round(assignedS),
    runningS: round(runningS),
    managersCpuS: all.map((one, at) => round(cpuSeconds(one) - (before[at] ?? 0))).join(' '),
    managersMb: all.map((one) => residentMb(one).toFixed(0)).join(' '),
  });
  await record(all, 'placing');
}

async function record(all: Managers['all'], what: string): Promise<void> {
  const programs = profile ? all.map(({ process: program }) => program) : [];
  await takeProfiles(folder, programs, what, PROFILE_ROWS);
}

/** Nodes that join and one that is lost: what they cost, beside what the heartbeats of all nodes cost. */
async function measureNodes(
  group: Managers,
  leader: Managers['all'][number],
  many: Crowd,
): Promise<void> {
  const cpu = async (): Promise<number> => {
    const before = cpuSeconds(leader);
    await pause(WINDOW_MS);
    return cpuSeconds(leader) - before;
  };
  await pause(WINDOW_MS);
  const idle = await cpu();
  await record(group.all, 'idling');
  const cost = (used: number): number => round((used - idle) * 1000);
  let { messages } = many.counts;
  const joining = cpu();
  for (let count = 1; count <= JOINS; count++) {
    many.join(group, 1);
    await many.until('one more joins', ({ joined }) => joined === agents + count);
  }
  report('a node joins: processor time of the leader', 'ms', [cost(await joining) / JOINS], {
    agents,
    messages: (many.counts.messages - messages) / JOINS,
    idleCpuPer6s: round(idle),
  });
  await record(group.all, 'one joining');
  const { assigned } = many.counts;
  messages = many.counts.messages;
  const begun = performance.now();
  const losing = cpu();
  many.tell({ order: 'drop', number: 0 });
  const lost = Math.floor(tasks / agents);
  await many.until('tasks are replaced', (counts) => counts.assigned >= assigned + lost);
  const replacedS = (performance.now() - begun) / 1000;
  report('a node is lost: processor time of the leader', 'ms', [cost(await losing)], {
    agents,
    tasks: lost,
    replacedS: round(replacedS),
    messages: many.counts.messages - messages,
  });
  await record(group.all, 'one lost');
}

async function measureCreates(client: ApiClient): Promise<void> {
  const ms: number[] = [];
  for (let number = 0; number < creates; number++) {
    const begun = performance.now();
    const spec = specOf(`one${number}`, { Replicated: { Replicas: 1 } });
    await client.call('POST', '/services/create', spec);
    while ((await countRunning(client, `one${number}`)) < 1) await pause(1);
    ms.push(performance.now() - begun);
  }
  report('create to running as the API shows it, one replica', 'ms', [quantile(ms, 0.5)], {
    n: creates,
    p99: round(quantile(ms, 0.99)),
  });
}

/** What nothing is wrong with, what waits, and where a task could be: the last two measure all nodes by all tasks. */
async function measureExplain(client: ApiClient): Promise<void> {
  const nowhere = { Placement: { Constraints: ['node.labels.kind==none'] } };
  await client.call('POST', '/services/create', {
    ...specOf('waits', { Replicated: { Replicas: 10 } }),
    TaskTemplate: { ContainerSpec: { Image: 'busybox:1' }, ...nowhere },
  });
  const filters = encodeURIComponent(JSON.stringify({ service: ['many0'] }));
  const listed = (await client.call('GET', `/tasks?filters=${filters}`)) as readonly Identified[];
  const [{ ID } = { ID: '' }] = listed;
  const asked = {
    'a service that runs': '/services/many1/explain',
    'a service that waits': '/services/waits/explain',
    'a task': `/tasks/${ID}/explain`,
  };
  for (const [what, path] of Object.entries(asked)) {
    const ms: number[] = [];
    for (let count = 0; count < EXPLAINED; count++) {
      const begun = performance.now();
      await client.call('GET', path);
      ms.push(performance.now() - begun);
    }
    const [first = Number.NaN] = ms;
    report(`explain ${what}`, 'ms', [quantile(ms, 0.5)], {
      n: ms.length,
      first: round(first),
      p90: round(quantile(ms, 0.9)),
      p99: round(quantile(ms, 0.99)),
      max: round(Math.max(...ms)),
    });
  }
}

async function running(client: ApiClient, count: number, name?: string): Promise<void> {
  for (const end = Date.now() + LIMIT_MS; (await countRunning(client, name)) < count; ) {
    if (Date.now() > end) throw new Error(`${await countRunning(client, name)} of ${count} run`);
    await pause(name === undefined ? 200 : 20);
  }
}

async function countRunning(client: ApiClient, name?: string): Promise<number> {
  const filters = name === undefined ? {} : { name: [name] };
  const query = `status=true&filters=${encodeURIComponent(JSON.stringify(filters))}`;
  const listed = (await client.call(
    'GET',
    `/services?${query}`,
    undefined,
    LIMIT_MS,
  )) as readonly Listed[];
  return listed.reduce((sum, one) => sum + (one.ServiceStatus?.RunningTasks ?? 0), 0);
}

function specOf(Name: string, Mode: object): object {
  return { Name, Mode, TaskTemplate: { ContainerSpec: { Image: 'busybox:1' } } };
}
