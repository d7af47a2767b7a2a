import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { NetworkTable } from '../model/index.ts';
import type { HostNetwork } from './network.ts';
import { NetworkLab } from './testing/lab.ts';
import { networkTable, type TestEndpoint } from './testing/table.ts';

/** Connections that begin in the very moment in which the kernel goes over to other rules. */
let lab: NetworkLab;
let host: HostNetwork;

const VIP = '10.0.1.2';
const ENTRY = '192.168.50.1';
const PORT = 5353;
const CHANGES = 200;

const backends = (prefix: string, count: number): readonly TestEndpoint[] =>
  Array.from({ length: count }, (_, at) => ({ address: `${prefix}.${11 + at}`, node: 2 }));

const app = (count: number): NetworkTable =>
  networkTable({
    endpoints: [{ address: '10.0.1.10', node: 1, service: 'client' }, ...backends('10.0.1', count)],
    services: [{ name: 'web', vip: VIP }],
  });

const mesh = (count: number): NetworkTable =>
  networkTable({
    name: 'ingress',
    ingress: true,
    subnet: '10.0.0.0/24',
    endpoints: backends('10.0.0', count),
    services: [
      {
        name: 'web',
        vip: '10.0.0.2',
        ports: [{ protocol: 'udp', publishMode: 'ingress', publishedPort: PORT, targetPort: 80 }],
      },
    ],
  });

const tell = (count: number): unknown => host.applyTables([app(count), mesh(Math.max(1, count))]);

/** Begins a UDP flow with every datagram until its end: to all ports of an address in turn, or to one from all ports. */
const BEGIN_FLOWS = `
const [address, fixed] = process.argv.slice(1);
const dgram = require('node:dgram');
const open = () => dgram.createSocket('udp4').on('error', () => undefined);
let socket = open();
let port = 1;
const one = () => {
  if (fixed === undefined) {
    socket.send('x', (port = (port % 65535) + 1), address, () => undefined);
    return;
  }
  const own = open();
  own.send('x', Number(fixed), address, () => own.close());
};
const more = () => {
  for (let i = 0; i < 20; i++) one();
  setImmediate(more);
};
console.log('begun');
more();
`;

beforeEach(async () => {
  lab = new NetworkLab();
  host = await lab.host('h1', 1);
  lab.machine('outside', 100);
  tell(0);
  await host.attach({
    containerId: 'cl',
    netns: lab.namespace('cl'),
    name: 'cl',
    hostname: 'cl',
    overlays: [{ networkId: 'app-id', address: '10.0.1.10/24' }],
  });
});

afterEach(async () => {
  await lab.close();
});

interface Flood {
  readonly name: string;
  /** Namespace that the datagrams come from, address, and the port if it is always the same. */
  readonly from: string;
  readonly to: readonly [address: string, port?: string];
  /** Where none may be seen. */
  readonly at: readonly [namespace: string, hook: string];
  readonly counts: readonly [number, number];
}

const toVip = { from: 'cl', to: [VIP], at: ['cl', 'postrouting'] } as const;
const toEntry = { from: 'outside', to: [ENTRY, String(PORT)], at: ['h1', 'input'] } as const;

test.each<Flood>([
  { ...toVip, name: 'a VIP itself', counts: [0, 1] },
  { ...toVip, name: 'a VIP itself', counts: [1, 2] },
  { ...toEntry, name: 'the host itself', counts: [1, 2] },
])('no datagram goes to $name while backends change', async ({ from, to, at, counts }) => {
  tell(counts[0]);
  const [address, port] = to;
  const [namespace, hook] = at;
  const counter = `ip daddr ${address} udp dport ${port ?? '1-65535'} counter`;
  const chain = `chain seen { type filter hook ${hook} priority 300; ${counter}; }`;
  await lab.run(namespace, 'nft', `table ip seen { ${chain}; }`);
  // What the many flows leave behind must not fill the kernel's table of connections.
  await lab.run(namespace, 'sysctl', '-qw', 'net.netfilter.nf_conntrack_udp_timeout=1');
  const words = [`--net=${lab.pin(from)}`, process.execPath, '-e', BEGIN_FLOWS, ...to];
  const child = spawn(
    'nsenter',
    words.filter((word) => word !== undefined),
  );
  await once(child.stdout, 'data');
  for (let change = 0; change < CHANGES; change++) {
    tell(counts[(change + 1) % 2] ?? 0);
    await turn();
  }
  child.kill();
  await once(child, 'exit');
  const seen = await lab.run(namespace, 'nft', 'list', 'table', 'ip', 'seen');
  expect(seen).toContain('counter packets 0 ');
});
