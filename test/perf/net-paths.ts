/** Two hosts with a container each, and the ways between them; own namespaces, removed whatever happens. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { Words } from '../../pkg/overlaynet/testing/cgroup.ts';
import { NetworkLab } from '../../pkg/overlaynet/testing/lab.ts';
import { networkTable } from '../../pkg/overlaynet/testing/table.ts';
import { buildDockerLike } from './docker-like.ts';
import { type DockerContainer, DockerOverlay, missingForDocker } from './docker-overlay.ts';
import { median, option, report, round } from './measure.ts';

const PORT = '7000';
const VIP = '10.0.1.2';
const CLIENT = '10.0.1.10';
const SERVER = '10.0.1.11';
const PEER_MACHINES = [3, 4] as const;
type Kind = 'stream' | 'turns' | 'connects';

/** How a command is run where a path begins, and which address it leads to. */
interface Path {
  readonly inside: (...words: readonly string[]) => Words;
  readonly to: string;
}

/**
 * Measures all paths in turns and reports each, then the shares that the goals are about: medians of the shares of
 * single rounds, since what else the machine does hits all alike. Where the
 * scheduler puts the ends matters more than the path, so they are put: of a stream on a processor each, otherwise both on
 * one, where the kernel likes whoever takes turns. On a busy machine trust the shares by processor time: in a lab
 * the client's process also does the work of both hosts on its packets.
 *
 * - `veth`: from host to host, without any of our work
 * - `docker`: from container to container on Docker's overlay, where its programs are installed, else
 *   `docker-like`: what it has in the kernel, built without it
 * - `overlay`: from container to container on ours
 * - `vip`: the same through the virtual address of a service, as a container's processes reach it
 * - `vip-rules`: that by the rules in the container alone, as where the kernel has no programs for sockets
 */
export async function measurePaths(kind: Kind, unit: string): Promise<void> {
  const rounds = option('runs', 21);
  const seconds = option('seconds', 0.4);
  const lab = new NetworkLab();
  const docker = new DockerOverlay();
  const servers: ChildProcess[] = [];
  try {
    const load = join(lab.folder, 'net-load');
    const source = join(import.meta.dirname, 'net-load.c');
    execFileSync('gcc', ['-O2', '-Wall', '-o', load, source]);
    await build(lab);
    const contained = within(lab.inside('client'));
    const paths = new Map<string, Path>([
      ['veth', { inside: within(inNamespace(lab.pin('h1'))), to: '192.168.50.2' }],
      ['overlay', { inside: contained, to: SERVER }],
      ['vip', { inside: contained, to: VIP }],
      ['vip-rules', { inside: within(inNamespace(lab.pin('client'))), to: VIP }],
    ]);
    const serving = [lab.pin('h2'), lab.pin('server')];
    const peer = missingForDocker().length === 0 ? 'docker' : 'docker-like';
    const [client, server] = await (peer === 'docker'
      ? startDocker(docker, lab)
      : buildDockerLike(lab, PEER_MACHINES));
    paths.set(peer, { inside: within(inNamespace(client.netns)), to: server.address });
    serving.push(server.netns);
    for (const netns of serving) servers.push(await serve(netns, load, kind));
    const found = inTurns(rounds, paths, ({ inside, to }) => {
      const words = ['taskset', '-c', '0', load, kind, to, PORT, String(seconds)];
      const [rate, byProcessor] = outputOf(inside(...words))
        .split(' ')
        .map(Number);
      return { rate: rate ?? Number.NaN, byProcessor: byProcessor ?? Number.NaN };
    });
    for (const [path, results] of found) {
      const byProcessor = round(median(results.map((result) => result.byProcessor)));
      const rates = results.map(({ rate }) => rate);
      report(`${kind} ${path}`, unit, rates, { byProcessor });
    }
    for (const [over, under] of sharesWith(peer)) reportShare(kind, found, over, under);
  } finally {
    for (const server of servers) server.kill();
    await docker.close();
    await lab.close();
  }
}

/** What the goals speak of: against the bare path, against the peer, and of the VIP against direct. */
function sharesWith(peer: string): readonly (readonly [string, string])[] {
  return [
    ['overlay', 'veth'],
    [peer, 'veth'],
    ['overlay', peer],
    ['vip', 'overlay'],
    ['vip-rules', 'overlay'],
  ];
}

async function startDocker(
  docker: DockerOverlay,
  lab: NetworkLab,
): Promise<readonly [DockerContainer, DockerContainer]> {
  const machines = PEER_MACHINES.map((number) => ({
    netns: lab.machine(`h${number}`, number),
    address: `192.168.50.${number}`,
  }));
  const [client, server] = await docker.start(machines);
  if (client === undefined || server === undefined) throw new Error('two containers');
  return [client, server];
}

interface Result {
  readonly rate: number;
  /** The same for each second of processor time of the client. */
  readonly byProcessor: number;
}
type Results = ReadonlyMap<string, readonly Result[]>;

function inTurns(
  rounds: number,
  paths: ReadonlyMap<string, Path>,
  measure: (path: Path) => Result,
): Results {
  const found = new Map([...paths.keys()].map((name): [string, Result[]] => [name, []]));
  for (let round = 0; round < rounds; round++) {
    const order = [...paths];
    if (round % 2 === 1) order.reverse();
    for (const [name, path] of order) found.get(name)?.push(measure(path));
  }
  return found;
}

function reportShare(kind: Kind, found: Results, over: string, under: string): void {
  const above = found.get(over);
  const below = found.get(under);
  if (above === undefined || below === undefined) return;
  const sharesOf = (of: (result: Result | undefined) => number): readonly number[] =>
    above.map((result, at) => of(result) / of(below[at]));
  report(
    `${kind} ${over} / ${under}`,
    '',
    sharesOf((result) => result?.rate ?? Number.NaN),
    { byProcessor: round(median(sharesOf((result) => result?.byProcessor ?? Number.NaN))) },
  );
}

function within(before: Words): Path['inside'] {
  return (...words) => [...before, ...words];
}

function inNamespace(netns: string): Words {
  return ['nsenter', `--net=${netns}`];
}

function outputOf([program, ...words]: Words): string {
  return execFileSync(program, words, { encoding: 'utf8' });
}

async function build(lab: NetworkLab): Promise<void> {
  const table = networkTable({
    endpoints: [
      { address: CLIENT, node: 1, service: 'client' },
      { address: SERVER, node: 2, service: 'web' },
    ],
    services: [{ name: 'web', vip: VIP }],
    nodes: 2,
  });
  for (const [number, name, address] of [
    [1, 'client', CLIENT],
    [2, 'server', SERVER],
  ] as const) {
    // One host for each cgroup: that of the client.
    const host = await lab.host(`h${number}`, number, number === 1 ? { cgroup: lab.cgroup } : {});
    host.applyTables([table]);
    await host.attach({
      containerId: name,
      netns: lab.namespace(name),
      name,
      hostname: name,
      overlays: [{ networkId: table.networkId, address: `${address}/24` }],
    });
  }
}

async function serve(netns: string, load: string, kind: Kind): Promise<ChildProcess> {
  const processor = String(kind === 'stream' ? cpus().length - 1 : 0);
  const words = [`--net=${netns}`, 'taskset', '-c', processor, load, 'serve', PORT];
  const child = spawn('nsenter', words, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return child;
}
