/** Two hosts with a container each, and the ways between them; own namespaces, removed whatever happens. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { NetworkLab } from '../../pkg/overlaynet/testing/lab.ts';
import { networkTable } from '../../pkg/overlaynet/testing/table.ts';
import { median, option, report, round } from './measure.ts';

const PORT = '7000';
const VIP = '10.0.1.2';
const CLIENT = '10.0.1.10';
const SERVER = '10.0.1.11';

/** Where a path begins, and which address it leads to. */
const PATHS = {
  /** From host to host, without any of our work. */
  veth: { from: 'h1', to: '192.168.50.2' },
  /** From container to container on two hosts. */
  overlay: { from: 'client', to: SERVER },
  /** The same through the virtual address of a service. */
  vip: { from: 'client', to: VIP },
} as const;
type PathName = keyof typeof PATHS;
type Kind = 'stream' | 'turns' | 'connects';

/**
 * Measures all paths in turns and reports each, then the overlay's share of the bare path and the virtual address's
 * share of the overlay's. Shares are medians of the shares of single rounds: what else the machine does hits all alike.
 */
export async function measurePaths(kind: Kind, unit: string): Promise<void> {
  const rounds = option('runs', 5);
  const seconds = option('seconds', 1.5);
  const lab = new NetworkLab();
  const servers: ChildProcess[] = [];
  try {
    const load = join(lab.folder, 'net-load');
    const source = join(import.meta.dirname, 'net-load.c');
    execFileSync('gcc', ['-O2', '-Wall', '-o', load, source]);
    await build(lab);
    for (const name of ['h2', 'server']) servers.push(await serve(lab, name, load));
    const found: Record<PathName, number[]> = { veth: [], overlay: [], vip: [] };
    for (let number = 0; number < rounds; number++) {
      const order = Object.keys(PATHS) as PathName[];
      if (number % 2 === 1) order.reverse();
      for (const path of order) {
        const { from, to } = PATHS[path];
        found[path].push(Number(await lab.run(from, load, kind, to, PORT, String(seconds))));
      }
    }
    const share = (over: PathName, under: PathName): readonly number[] =>
      found[over].map((value, at) => value / (found[under][at] ?? Number.NaN));
    for (const [path, values] of Object.entries(found)) report(`${kind} ${path}`, unit, values);
    report(`${kind} overlay / veth`, '', share('overlay', 'veth'), {
      ofMedians: round(median(found.overlay) / median(found.veth)),
    });
    report(`${kind} vip / overlay`, '', share('vip', 'overlay'), {
      ofMedians: round(median(found.vip) / median(found.overlay)),
    });
  } finally {
    for (const server of servers) server.kill();
    await lab.close();
  }
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
    const host = await lab.host(`h${number}`, number);
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

async function serve(lab: NetworkLab, name: string, load: string): Promise<ChildProcess> {
  const words = [`--net=${lab.pin(name)}`, load, 'serve', PORT];
  const child = spawn('nsenter', words, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return child;
}
