import { closeSync, openSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { attachedPrograms, detachProgram } from 'vxlan-netlink';
import { must, type NetworkTable } from '../../model/index.ts';
import { linuxKernel } from '../kernel/linux.ts';
import type { HostNetwork, SandboxSpec } from '../network.ts';
import { NetworkLab } from '../testing/lab.ts';
import { networkTable, type TestEndpoint } from '../testing/table.ts';

/** A client on one host, two backends of a service on the other. Processes are in the cgroup that hosts are told of. */
let lab: NetworkLab;
let hosts: readonly HostNetwork[];
let cgroup: string;

const VIP = '10.0.1.2';
const VIP6 = 'fd00:1::2';
const PORT = 80;
const B1: TestEndpoint = { address: '10.0.1.11', address6: 'fd00:1::11', node: 2 };
const B2: TestEndpoint = { address: '10.0.1.12', address6: 'fd00:1::12', node: 2 };

const app = (backends: readonly TestEndpoint[], revision = 1): NetworkTable =>
  networkTable({
    revision,
    nodes: 2,
    subnet6: 'fd00:1::/64',
    endpoints: [
      { address: '10.0.1.10', address6: 'fd00:1::10', node: 1, service: 'client' },
      ...backends,
    ],
    services: [{ name: 'web', vip: VIP, vip6: VIP6 }],
  });

const tell = (table: NetworkTable): void => {
  for (const host of hosts) host.applyTables([table]);
};

function sandbox(name: string, number: number): SandboxSpec {
  const address = `10.0.1.${number}/24`;
  const overlays = [{ networkId: 'app-id', address, address6: `fd00:1::${number}/64` }];
  return { containerId: name, netns: lab.namespace(name), name, hostname: name, overlays };
}

beforeEach(async () => {
  lab = new NetworkLab();
  cgroup = must(lab.cgroup, 'a v2 tree');
  hosts = [await lab.host('h1', 1, { cgroup }), await lab.host('h2', 2)];
  tell(app([B1, B2]));
  await hosts[0]?.attach(sandbox('client', 10));
  await hosts[1]?.attach(sandbox('b1', 11));
  await hosts[1]?.attach(sandbox('b2', 12));
  await lab.serve('b1', 'b1', PORT);
  await lab.serve('b2', 'b2', PORT);
});

afterEach(() => lab.close());

/** Whether the kernel translates any connection of the client. */
function isTranslated(): boolean {
  using client = linuxKernel.open(lab.pin('client'));
  return client
    .connections()
    .some(({ connection }) => connection.originalDestination !== connection.replySource);
}

/** What a socket says of its peer once it is connected. */
async function peerOf(host: string): Promise<string> {
  const script = `
    const socket = require('node:net').connect({ host: '${host}', port: ${PORT} }, () => {
      console.log(socket.remoteAddress);
      socket.destroy();
    });
    socket.on('error', (error) => console.log(error.code));`;
  return (await lab.run('client', process.execPath, '-e', script)).trim();
}

test.each([VIP, VIP6, `::ffff:${VIP}`])(
  'a socket that connects to %s has a backend of its own at once and says it is the VIP',
  async (host) => {
    const found = await lab.ask('client', { host, port: PORT }, 10);
    const client = host.includes('.') ? '10.0.1.10' : 'fd00:1::10';
    expect(found).toEqual({ [`b1 ${client}`]: 5, [`b2 ${client}`]: 5 });
    expect(isTranslated()).toBe(false);
    expect(await peerOf(host)).toBe(host);
    expect(await peerOf('10.0.1.11')).toBe('10.0.1.11');
  },
);

test('datagrams, and who is not in the cgroup or not on the network, go the way of the rules', async () => {
  const udp = await lab.ask('client', { host: VIP, port: PORT, udp: true }, 4);
  expect(Object.keys(udp).toSorted()).toEqual(['b1 10.0.1.10', 'b2 10.0.1.10']);
  expect(isTranslated()).toBe(true);
  hosts[0]?.disconnect('client', 'app-id');
  expect(await peerOf(VIP)).not.toBe(VIP);
});

test('without a backend it is refused, and the next one is found as soon as the table says so', async () => {
  tell(
    app(
      [
        { ...B1, out: true },
        { ...B2, out: true },
      ],
      2,
    ),
  );
  expect(await peerOf(VIP)).toBe('ECONNREFUSED');
  tell(app([{ ...B1, out: true }, B2], 3));
  expect(await lab.ask('client', { host: VIP, port: PORT }, 4)).toEqual({ 'b2 10.0.1.10': 4 });
  expect(isTranslated()).toBe(false);
});

/** The backend falls silent without a word, as a host that lost its power. */
function silence(name: string): void {
  using namespace = linuxKernel.open(lab.pin(name));
  namespace.apply([{ do: 'change-link', name: 'eth0', up: false }]);
}

const WAYS = [
  ['when it connects', false],
  ['by rules', true],
] as const;

test.each(WAYS)(
  'a connection that is being made to a backend, chosen %s, that is gone is made to another one',
  async (_, outside) => {
    tell(app([B1, { ...B2, out: true }], 2));
    silence('b1');
    const answer = lab.hold('client', { host: VIP, port: PORT, outside }).next();
    await eventually(() => connectionsTo('10.0.1.11') > 0);
    tell(app([B2], 3));
    await hosts[0]?.flowsForgotten();
    expect(await answer).toBe('b2 10.0.1.10');
  },
);

test.each(WAYS)(
  'a connection that is being made to one, chosen %s, that is silent and out of service is made to another one',
  async (_, outside) => {
    tell(app([B1, { ...B2, out: true }], 2));
    silence('b1');
    const answer = lab.hold('client', { host: VIP, port: PORT, outside }).next();
    await eventually(() => connectionsTo('10.0.1.11') > 0);
    tell(app([{ ...B1, out: true }, B2], 3));
    expect(await answer).toBe('b2 10.0.1.10');
  },
);

test.each(WAYS)(
  'a connection to a backend, chosen %s, that is gone is reset rather than left in silence',
  async (_, outside) => {
    tell(app([B1, { ...B2, out: true }], 2));
    const held = lab.hold('client', { host: VIP, port: PORT, outside });
    expect(await held.next()).toBe('b1 10.0.1.10');
    silence('b1');
    tell(app([B2], 3));
    await hosts[0]?.flowsForgotten();
    expect(await held.next()).toBe('ECONNRESET');
  },
);

test('with nobody left it is refused, and an address that serves again is asked itself', async () => {
  tell(app([B1], 2));
  const held = lab.hold('client', { host: VIP, port: PORT });
  expect(await held.next()).toBe('b1 10.0.1.10');
  tell(app([], 3));
  await hosts[0]?.flowsForgotten();
  expect(await held.next()).toBe('ECONNRESET');
  tell(app([B1], 4));
  expect(await lab.ask('client', { host: VIP, port: PORT }, 2)).toEqual({ 'b1 10.0.1.10': 2 });
});

function connectionsTo(address: string): number {
  using client = linuxKernel.open(lab.pin('client'));
  return client.connections({ answeredBy: new Set([address]) }).length;
}

async function eventually(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const programs = (): readonly number[] => {
  const fd = openSync(cgroup, 'r');
  try {
    return attachedPrograms(fd, 'connect4').map(({ id }) => id);
  } finally {
    closeSync(fd);
  }
};

test('programs that somebody detached are put back, and counted', async () => {
  const [id] = programs();
  const fd = openSync(cgroup, 'r');
  detachProgram(fd, 'connect4', must(id, 'a program'));
  closeSync(fd);
  expect(programs()).toEqual([]);
  const report = await hosts[0]?.repair();
  expect(report).toEqual({ repairs: 1, findings: ['choice at connect: 1'] });
  expect(programs()).toHaveLength(1);
  expect(await hosts[0]?.repair()).toEqual({ repairs: 0, findings: [] });
});

test('the next agent takes over, and what it is told counts', async () => {
  const before = programs();
  await hosts[0]?.dispose();
  expect(await lab.ask('client', { host: VIP, port: PORT }, 4)).toMatchObject({
    'b1 10.0.1.10': 2,
  });
  const again = await lab.host('h1', 1, { cgroup });
  expect(programs()).toHaveLength(1);
  expect(programs()).not.toEqual(before);
  again.applyTables([app([{ ...B1, out: true }, B2], 2)]);
  await again.readopt(new Map([['client', lab.pin('client')]]));
  expect(await lab.ask('client', { host: VIP, port: PORT }, 4)).toEqual({ 'b2 10.0.1.10': 4 });
  expect(isTranslated()).toBe(false);
});

test('nothing is attached any more when the host leaves', async () => {
  expect(programs()).toHaveLength(1);
  await hosts[0]?.removeEverything();
  expect(() => programs()).toThrow('ENOENT');
});
