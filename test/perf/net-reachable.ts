/**
 * From a task that runs to the moment when every host reaches it through the service's virtual address, and from the wish
 * to remove it to the moment when no host does, in a real cluster: `npx tsx --conditions=source test/perf/net-reachable.ts [--runs=20] [--agents=4] [--services=1]`. Needs a build.
 */
import { execFile, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, rmdirSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import type { Lab } from '../../deploy/lab/lab.ts';
import type { Words } from '../../pkg/overlaynet/testing/cgroup.ts';
import { insideContainer } from '../cluster/container.ts';
import { raiseNeighbourLimits } from '../cluster/neighbours.ts';
import { ApiClient, withLab } from './lab.ts';
import { option, quantile, report, round } from './measure.ts';

const ROOT = join(import.meta.dirname, '../..');
const IMAGE = 'muster/web:1';
/** statfs(2) */
const TMPFS_MAGIC = 0x01021994;
const PATIENCE_S = '30';
/** So many runs were within it. */
const GOAL_MS = 100;
const runs = option('runs', 20);
const agents = option('agents', 4);
/** On the network, the measured one among them. */
const services = option('services', 1);
const run = promisify(execFile);

interface TaskJson {
  readonly Status: { readonly State: string; readonly Timestamp: string };
}

const putBack = raiseNeighbourLimits();
const unmount = runInMemory();
await withLab('perfreach', { managers: 1, agents }, async (lab) => {
  const api = new ApiClient(lab.host('h1').socket);
  const load = join(lab.folder, 'net-load');
  execFileSync('gcc', ['-O2', '-o', load, join(import.meta.dirname, 'net-load.c')]);
  await loadImage(lab);
  const { Id } = (await api.call('POST', '/networks/create', {
    Name: 'app',
    Driver: 'overlay',
    Attachable: true,
  })) as { Id: string };
  const pids = await Promise.all(lab.hosts.map((host) => client(host.socket)));
  for (let number = 1; number < services; number++)
    await api.call('POST', '/services/create', { ...service(Id, 1), Name: `beside-${number}` });
  await running(api, services - 1);
  await api.call('POST', '/services/create', service(Id, 0));
  const vip = await vipOf(api);
  const watchers = pids.map((pid) =>
    watcherOf(insideContainer(pid, load, 'watch', vip, '80', PATIENCE_S)),
  );
  const entered: number[] = [];
  const left: number[] = [];
  const tries: number[] = [];
  for (let number = 0; number < runs; number++) {
    const asked = watchers.map((watcher) => watcher.when('until'));
    await scale(api, await versionOf(api), service(Id, 1));
    const reached = await Promise.all(asked);
    entered.push(lastOf(reached) - (await runningSince(api)));
    const still = watchers.map((watcher) => watcher.when('while'));
    const version = await versionOf(api);
    const wished = Date.now();
    await scale(api, version, service(Id, 0));
    const leaving = await Promise.all(still);
    left.push(lastOf(leaving) - wished);
    tries.push(Math.max(...[...reached, ...leaving].map(({ slowest }) => slowest)));
    await noneLeft(api);
  }
  api.close();
  for (const watcher of watchers) watcher.end();
  const all = `all of ${lab.hosts.length} hosts, ${services} services`;
  const worst = (values: readonly number[]): { readonly p99: number; readonly within: number } => ({
    p99: round(quantile(values, 0.99)),
    within: values.filter((value) => value <= GOAL_MS).length,
  });
  report(`a running task is reached through the VIP from ${all}`, 'ms', entered, worst(entered));
  report(`a task that is scaled away is left alone by ${all}`, 'ms', left, worst(left));
  report(`the slowest try to connect of a run, from ${all}`, 'ms', tries, worst(tries));
})
  .finally(unmount)
  .finally(putBack);

/** `/run` is in memory where systemd mounts it: agents write there while they answer, and no disk makes them wait. */
function runInMemory(): () => void {
  const folder = '/run/muster';
  mkdirSync(folder, { recursive: true });
  if (statfsSync(folder).type === TMPFS_MAGIC || readdirSync(folder).length > 0)
    return () => undefined;
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'muster-run', folder]);
  // The last lab takes the folder away when it is empty.
  writeFileSync(join(folder, 'in-memory'), '');
  return () => {
    execFileSync('umount', [folder]);
    rmdirSync(folder);
  };
}

interface Found {
  /** Milliseconds since the epoch. */
  readonly moment: number;
  /** Milliseconds of the slowest try. */
  readonly slowest: number;
}

/** A client in a container. */
interface Watcher {
  /** `until` it connects, or `while` it does. */
  when(mode: 'until' | 'while'): Promise<Found>;
  end(): void;
}

/**
 * A client stands for a program on a machine of its own, so it does not wait for the turns of the others that share these
 * processors.
 */
function watcherOf(words: Words): Watcher {
  const child = spawn('chrt', ['--rr', '1', ...words], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    when: async (mode): Promise<Found> => {
      child.stdin.write(`${mode}\n`);
      const { value } = await lines.next();
      const [moment, slowest] = String(value).split(' ').map(Number);
      return { moment: moment ?? Number.NaN, slowest: slowest ?? Number.NaN };
    },
    end: (): void => {
      child.stdin.end();
    },
  };
}

function lastOf(found: readonly Found[]): number {
  return Math.max(...found.map(({ moment }) => moment));
}

function service(network: string, Replicas: number): object {
  return {
    Name: 'web',
    Mode: { Replicated: { Replicas } },
    TaskTemplate: {
      ContainerSpec: { Image: IMAGE, StopGracePeriod: 1_000_000_000 },
      Networks: [{ Target: network }],
    },
  };
}

async function loadImage(lab: Lab): Promise<void> {
  const archive = join(lab.folder, 'web.tar');
  execFileSync(process.execPath, [
    join(ROOT, 'deploy/image/make.mjs'),
    archive,
    IMAGE,
    'VERSION=1',
  ]);
  const ctl = join(ROOT, 'dist/ctl.js');
  for (const { socket } of lab.hosts) {
    const env = { DOCKER_HOST: `unix://${socket}`, PATH: '/usr/bin:/bin' };
    await run(process.execPath, [ctl, 'image', 'load', '-q', '-i', archive], { env });
  }
}

/** Starts a container on the network and returns its process. */
async function client(socket: string): Promise<number> {
  const api = new ApiClient(socket);
  const { Id } = (await api.call('POST', '/containers/create', {
    Image: IMAGE,
    HostConfig: { NetworkMode: 'app' },
  })) as { Id: string };
  await api.call('POST', `/containers/${Id}/start`);
  const { State } = (await api.call('GET', `/containers/${Id}/json`)) as { State: { Pid: number } };
  api.close();
  return State.Pid;
}

interface ServiceJson {
  readonly Version: { readonly Index: number };
  readonly Endpoint?: { readonly VirtualIPs?: readonly { readonly Addr: string }[] };
}

async function vipOf(api: ApiClient): Promise<string> {
  for (;;) {
    const { Endpoint } = (await api.call('GET', '/services/web')) as ServiceJson;
    const [vip] = Endpoint?.VirtualIPs ?? [];
    if (vip) return vip.Addr.split('/')[0] ?? '';
  }
}

async function versionOf(api: ApiClient): Promise<number> {
  return ((await api.call('GET', '/services/web')) as ServiceJson).Version.Index;
}

async function scale(api: ApiClient, version: number, spec: object): Promise<void> {
  await api.call('POST', `/services/web/update?version=${version}`, spec);
}

/** Those that run and shall, or that run still; of one service. */
async function runningTasks(
  api: ApiClient,
  filters: { readonly service?: readonly string[]; readonly 'desired-state'?: readonly string[] },
): Promise<readonly TaskJson[]> {
  const query = encodeURIComponent(JSON.stringify(filters));
  const tasks = (await api.call('GET', `/tasks?filters=${query}`)) as TaskJson[];
  return tasks.filter(({ Status }) => Status.State === 'running');
}

async function running(api: ApiClient, count: number): Promise<void> {
  while ((await runningTasks(api, { 'desired-state': ['running'] })).length < count);
}

/** When the manager noted that the task runs, in milliseconds since the epoch. */
async function runningSince(api: ApiClient): Promise<number> {
  for (;;) {
    const wanted = { service: ['web'], 'desired-state': ['running'] };
    const [task] = await runningTasks(api, wanted);
    if (task) return Date.parse(task.Status.Timestamp);
  }
}

async function noneLeft(api: ApiClient): Promise<void> {
  while ((await runningTasks(api, { service: ['web'] })).length > 0);
}
