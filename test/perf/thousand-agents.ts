/**
 * Three managers and a thousand simulated agents over gRPC with mutual TLS on the loopback, logs synced:
 * `npm run build && npx tsx --conditions=source test/perf/thousand-agents.ts [--agents=1000] [--tasks=30000] [--services=30]`.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { ApiClient } from './lab.ts';
import type { AgentsAnswer, AgentsOrder } from './light-agents.ts';
import { cpuSeconds, type Managers, residentMb, startManagers } from './managers.ts';
import { bundle, option, quantile, report, round } from './measure.ts';

const agents = option('agents', 1000);
const tasks = option('tasks', 30_000);
const services = option('services', 30);
const creates = option('creates', 50);
const LIMIT_MS = 600_000;
const NONE: AgentsAnswer = { joined: 0, assigned: 0, messages: 0 };

/** A service's status as the API lists it. */
interface Listed {
  readonly ServiceStatus?: { readonly RunningTasks: number };
}

class Agents {
  readonly #process: ChildProcess;
  counts = NONE;

  constructor(program: string) {
    this.#process = fork(program, { execArgv: ['--max-old-space-size=4096'] });
    this.#process.on('message', (answer: AgentsAnswer) => {
      this.counts = answer;
    });
  }

  tell(order: AgentsOrder): void {
    this.#process.send(order);
  }

  async until(what: string, holds: (counts: AgentsAnswer) => boolean): Promise<void> {
    for (const end = Date.now() + LIMIT_MS; !holds(this.counts); await pause(5)) {
      if (this.#process.exitCode !== null) throw new Error('the agents ended');
      if (Date.now() > end) throw new Error(`${what}: ${JSON.stringify(this.counts)}`);
    }
  }

  end(): void {
    this.#process.kill('SIGKILL');
  }
}

const folder = mkdtempSync(join(tmpdir(), 'muster-thousand-'));
let managers: Managers | undefined;
let crowd: Agents | undefined;
try {
  const program = join(folder, 'agents.mjs');
  await bundle('light-agents.ts', program);
  managers = await startManagers(folder, 3);
  crowd = new Agents(program);
  await measure(managers, crowd);
} finally {
  crowd?.end();
  for (const one of managers?.all ?? []) one.process.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}

async function measure({ all, rootPem, workerToken }: Managers, many: Agents): Promise<void> {
  const [leader] = all;
  if (!leader) return;
  const client = new ApiClient(leader.socket);
  const joining = performance.now();
  many.tell({ order: 'join', count: agents, leader: leader.address, rootPem, token: workerToken });
  await many.until('agents join', ({ joined }) => joined === agents);
  report(`${agents} agents join`, 's', [(performance.now() - joining) / 1000]);

  const before = cpuSeconds(leader);
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
    leaderCpuS: round(cpuSeconds(leader) - before),
    managersMb: all.map((one) => residentMb(one).toFixed(0)).join(' '),
  });

  await measureOneNode(leader, many);
  await measureCreates(client);
  await measureExplain(client);
  const global = performance.now();
  await client.call('POST', '/services/create', specOf('everywhere', { Global: {} }), LIMIT_MS);
  await running(client, agents - 1, 'everywhere');
  report('a global service runs on every node', 's', [(performance.now() - global) / 1000]);
  client.close();
}

/** A node that is lost: what it costs, beside what the heartbeats of all nodes cost. */
async function measureOneNode(leader: Managers['all'][number], many: Agents): Promise<void> {
  const windowMs = 6000;
  const cpu = async (): Promise<number> => {
    const before = cpuSeconds(leader);
    await pause(windowMs);
    return cpuSeconds(leader) - before;
  };
  const idle = await cpu();
  const { assigned, messages } = many.counts;
  const begun = performance.now();
  many.tell({ order: 'drop' });
  const lost = Math.floor(tasks / agents);
  await many.until('tasks are replaced', (counts) => counts.assigned >= assigned + lost);
  const replacedS = (performance.now() - begun) / 1000;
  report('a node is lost: its tasks assigned anew', 's', [replacedS], {
    tasks: lost,
    messages: many.counts.messages - messages,
    idleCpuPer6s: round(idle),
    cpuOf6sAfter: round(await cpu()),
  });
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

async function measureExplain(client: ApiClient): Promise<void> {
  const ms: number[] = [];
  for (let number = 0; number < creates; number++) {
    const begun = performance.now();
    await client.call('GET', `/services/many${number % services}/explain`);
    ms.push(performance.now() - begun);
  }
  report('explain a service', 'ms', [quantile(ms, 0.5)], { p99: round(quantile(ms, 0.99)) });
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
