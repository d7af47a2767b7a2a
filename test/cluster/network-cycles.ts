/** Networks with a service on every host that come and go, and everything that one cycle could leave behind. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '../../deploy/lab/host.ts';
import { eventually, type TestCluster } from './cluster.ts';

const WEB = 'muster/web:1';

export interface NetworkJson {
  readonly Id: string;
  readonly IPAM: { readonly Config: readonly { readonly Subnet: string }[] };
  readonly Options: Readonly<Record<string, string>>;
}

/** A global service on one network. */
export function serviceOn(network: string, name: string): object {
  return {
    Name: name,
    Mode: { Global: {} },
    TaskTemplate: {
      ContainerSpec: { Image: WEB, StopGracePeriod: 1_000_000_000 },
      Networks: [{ Target: network }],
    },
  };
}

/** Makes a network and a service on it, waits until it runs on every host, removes both. */
export async function cycle(cluster: TestCluster, number: number): Promise<NetworkJson> {
  const body = { Name: `net${number}`, Driver: 'overlay', Attachable: true, EnableIPv6: true };
  const { Id } = await cluster.api<{ Id: string }>('h1', 'POST', '/networks/create', body);
  const name = `churn${number}`;
  await cluster.api('h1', 'POST', '/services/create', serviceOn(Id, name));
  await cluster.waitRunning(name, cluster.lab.hosts.length);
  const made = await cluster.api<NetworkJson>('h1', 'GET', `/networks/${Id}`);
  await cluster.api('h1', 'DELETE', `/services/${name}`);
  await cluster.api('h1', 'DELETE', `/networks/${Id}`);
  return made;
}

/** Everything is gone on all hosts, as far as their own words go. */
export async function quiet(cluster: TestCluster): Promise<void> {
  await eventually('every container and network to go', async () => {
    for (const host of cluster.lab.hosts) {
      const all = await cluster.api<unknown[]>(host.name, 'GET', '/containers/json?all=1');
      if (all.length > 0 || pins(host).length > 1) return false;
    }
    return (await cluster.api<unknown[]>('h1', 'GET', '/tasks')).length === 0;
  });
}

export type Counts = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** What every host holds in its kernel and its processes, counted. */
export function heldBy(cluster: TestCluster): Counts {
  return Object.fromEntries(cluster.lab.hosts.map((host) => [host.name, held(host)]));
}

/** Less is no leak: kept connections of the test's own questions end by themselves. */
export function moreThan(before: Counts, after: Counts): readonly string[] {
  return Object.entries(after).flatMap(([host, counts]) =>
    Object.entries(counts).flatMap(([what, count]) => {
      const was = before[host]?.[what] ?? 0;
      return count > was ? [`${host} ${what}: ${was} before, ${count} after`] : [];
    }),
  );
}

/** Resident memory of every agent and manager, in MiB. */
export function memoryOf(cluster: TestCluster): Readonly<Record<string, number>> {
  return Object.fromEntries(
    cluster.lab.hosts.flatMap(({ name, agentPid, managerPid }) =>
      Object.entries({ agent: agentPid, manager: managerPid }).flatMap(([role, pid]) =>
        pid === undefined ? [] : [[`${name} ${role}`, residentMib(pid)]],
      ),
    ),
  );
}

function residentMib(pid: number): number {
  const kib = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Math.round(Number(kib) / 1024);
}

function held(host: Host): Readonly<Record<string, number>> {
  const inside = (...args: readonly string[]): string =>
    execFileSync('ip', ['netns', 'exec', host.netns, ...args], { encoding: 'utf8' });
  const count = (text: string): number => text.split('\n').filter((line) => line !== '').length;
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  const below = (folder: string): number =>
    existsSync(folder) ? readdirSync(folder, { recursive: true }).length : 0;
  return {
    links: count(inside('ip', '-o', 'link')),
    addresses: count(inside('ip', '-o', 'addr')),
    rules: count(inside('ip', 'rule')),
    nft: count(inside('nft', 'list', 'ruleset')),
    mounts: mounts.filter((line) => line.includes(`${host.runDir}/`)).length,
    overlays: pins(host).length,
    sandboxes: below(join(host.runDir, 'network', 'sandboxes')),
    containers: below(join(host.runDir, 'containers')),
    chosenBytes: mapBytes(host.agentPid),
    agentFds: descriptors(host.agentPid),
    managerFds: descriptors(host.managerPid),
  };
}

/** Namespaces of overlays; the mesh's stays. */
function pins({ runDir }: Host): readonly string[] {
  const folder = join(runDir, 'network', 'netns');
  return existsSync(folder) ? readdirSync(folder) : [];
}

/** Memory of the kernel for the maps of a process, which grows with their members. */
export function mapBytes(pid: number | undefined): number {
  if (pid === undefined) return 0;
  const folder = `/proc/${pid}/fdinfo`;
  const bytes = readdirSync(folder).map((fd) => {
    const text = existsSync(`${folder}/${fd}`) ? readFileSync(`${folder}/${fd}`, 'utf8') : '';
    return text.includes('map_id:') ? Number(/^memlock:\s+(\d+)/m.exec(text)?.[1] ?? 0) : 0;
  });
  return bytes.reduce((sum, one) => sum + one, 0);
}

function descriptors(pid: number | undefined): number {
  if (pid === undefined) return 0;
  return readdirSync(`/proc/${pid}/fd`).length;
}
