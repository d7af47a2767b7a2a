import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, TestCluster } from './cluster.ts';

/** Sends a datagram and prints the answer. */
const ASK_UDP = `
const [host, port] = process.argv.slice(1);
const socket = require('node:dgram').createSocket('udp6');
socket.on('message', (text) => { process.stdout.write(text); socket.close(); });
socket.connect(Number(port), host, () => socket.send('hello'));
setTimeout(() => process.exit(1), 5000).unref();
`;
const ADDRESSES = { h1: 'fd00:99::1', h2: 'fd00:99::2', h3: 'fd00:99::3' } as const;
let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start('mesh6', { managers: 1, agents: 2 });
  for (const [host, address] of Object.entries(ADDRESSES)) {
    const done = await cluster.inside(
      host,
      ...(['ip', 'addr', 'add', `${address}/64`, 'dev', 'eth0', 'nodad'] as const),
    );
    expect(done).toMatchObject({ code: 0 });
  }
});

afterAll(async () => {
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

const askTcp = async (from: string, address: string, port = 8080): Promise<string> =>
  (await cluster.inside(from, 'wget', '-q', '-T', '5', '-O', '-', `http://[${address}]:${port}/`))
    .out;

const askUdp = async (from: string, address: string, port = 8080): Promise<string> =>
  (await cluster.inside(from, process.execPath, '-e', ASK_UDP, address, String(port))).out;

const PLACE = ['--constraint', 'node.hostname==h2', 'muster/web:1'];

test('a task sees the IPv6 client of a published port, also by a node that has no task of the service', async () => {
  const ports = ['--publish', '8080:80', '--publish', '8080:80/udp'];
  await cluster.ctl('h1', 'service', 'create', '--name', 'web', ...ports, ...PLACE);
  await cluster.waitRunning('web', 1);
  for (const ask of [askTcp, askUdp]) {
    for (const entry of Object.values(ADDRESSES)) {
      expect(await ask('h3', entry)).toContain(`you are ${ADDRESSES.h3}\n`);
    }
    // On every node by localhost too, where the node's own address in the mesh's network is seen.
    for (const host of Object.keys(ADDRESSES)) {
      expect(await ask(host, '::1')).toMatch(/hello from .* you are fd/);
    }
  }
  await eventually('every node to reach everything', async () => {
    const check = await cluster.tryCtl('h1', 'network', 'check', 'ingress');
    return check.code === 0 && check.out.includes('network ingress');
  });
});

test('a port in mode=host is open by IPv6 on the node of its task alone', async () => {
  await cluster.ctl('h1', 'network', 'create', 'app');
  const ports = ['--network', 'app', '--publish', 'published=8081,target=80,mode=host'];
  await cluster.ctl('h1', 'service', 'create', '--name', 'own', ...ports, ...PLACE);
  await cluster.waitRunning('own', 1);
  expect(await askTcp('h3', ADDRESSES.h2, 8081)).toContain(`you are ${ADDRESSES.h3}\n`);
  expect(await askTcp('h3', ADDRESSES.h1, 8081)).toBe('');
});

test('the ingress network shows both families, and a service is open where its label says', async () => {
  const format = '{{.EnableIPv6}} {{range .IPAM.Config}}{{.Subnet}} {{end}}';
  const shown = await cluster.docker('h1', 'network', 'inspect', '-f', format, 'ingress');
  expect(shown).toMatch(/^true 10\.\S+ fd\S+\/64 $/m);
  const label = `muster.network.publish-on=${ADDRESSES.h1}`;
  await cluster.ctl('h1', 'service', 'update', '--label-add', label, 'web');
  await expect.poll(() => askTcp('h3', ADDRESSES.h2), { timeout: 20_000 }).toBe('');
  expect(await askTcp('h3', ADDRESSES.h1)).toContain(`you are ${ADDRESSES.h3}\n`);
});
