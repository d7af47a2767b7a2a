import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { NetworkTable } from '../model/index.ts';
import type { HostNetwork } from './network.ts';
import { NetworkLab } from './testing/lab.ts';
import { networkTable } from './testing/table.ts';

/** Connections that begin in the very moment in which the kernel goes over to other rules. */
let lab: NetworkLab;
let host: HostNetwork;

const VIP = '10.0.1.2';
const CHANGES = 300;

const table = (backends: number): NetworkTable =>
  networkTable({
    endpoints: Array.from({ length: backends + 1 }, (_, at) => ({
      address: `10.0.1.${10 + at}`,
      node: 1,
      service: at === 0 ? 'client' : 'web',
    })),
    services: [{ name: 'web', vip: VIP }],
    nodes: 1,
  });

/** Begins a UDP flow with every datagram, on the other processor, until its end. */
const BEGIN_FLOWS = `
const socket = require('node:dgram').createSocket('udp4');
let port = 1;
const more = () => {
  for (let i = 0; i < 20; i++) socket.send('x', (port = (port % 65535) + 1), '${VIP}', () => undefined);
  setImmediate(more);
};
socket.on('error', () => undefined);
console.log('begun');
more();
`;

beforeEach(async () => {
  lab = new NetworkLab();
  host = await lab.host('h1', 1);
  host.applyTables([table(0)]);
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

test.each([
  [0, 1],
  [1, 2],
])(
  'no datagram goes to a VIP itself while backends change from %i to %i and back',
  async (...counts) => {
    host.applyTables([table(counts[0])]);
    const counter = `table ip seen { chain out { type filter hook postrouting priority 300; ip daddr ${VIP} counter; }; }`;
    await lab.run('cl', 'nft', counter);
    // What the many flows leave behind must not fill the kernel's table of connections.
    await lab.run('cl', 'sysctl', '-qw', 'net.netfilter.nf_conntrack_udp_timeout=1');
    const child = spawn('nsenter', [`--net=${lab.pin('cl')}`, process.execPath, '-e', BEGIN_FLOWS]);
    await once(child.stdout, 'data');
    for (let change = 0; change < CHANGES; change++) {
      host.applyTables([table(counts[(change + 1) % 2] ?? 0)]);
      await turn();
    }
    child.kill();
    await once(child, 'exit');
    const text = await lab.run('cl', 'nft', 'list', 'table', 'ip', 'seen');
    expect(text).toContain('counter packets 0 ');
  },
);
