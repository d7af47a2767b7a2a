import { createSocket } from 'node:dgram';
import { encode } from 'dns-packet';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { frame } from './dns-forward.ts';
import type { HostNetwork } from './network.ts';
import { NetworkLab } from './testing/lab.ts';
import { networkTable } from './testing/table.ts';

let lab: NetworkLab;
let host: HostNetwork;

const TABLE = networkTable({
  nodes: 1,
  endpoints: [
    { address: '10.0.1.11', node: 1, aliases: ['blue'] },
    { address: '10.0.1.12', node: 1, out: true },
    { address: '10.0.1.13', node: 1, aliases: ['blue'] },
    { address: '10.0.1.14', node: 1, service: 'rr' },
    { address: '10.0.1.15', node: 1, service: 'rr' },
  ],
  services: [{ name: 'web', vip: '10.0.1.2', aliases: ['www'] }, { name: 'rr' }],
});

const RESOLVE = `
const { Resolver } = require('node:dns/promises');
const resolver = new Resolver({ timeout: 1000, tries: 1 });
resolver.setServers(['127.0.0.11']);
const [kind, ...names] = process.argv.slice(1);
Promise.all(names.map((name) => resolver[kind](name).catch((error) => error.code)))
  .then((answers) => console.log(JSON.stringify(answers)));
`;

const OVER_TCP = `
const [hex] = process.argv.slice(1);
const query = Buffer.from(hex, 'hex');
const socket = require('node:net').connect(53, '127.0.0.11', () => socket.write(query));
socket.on('data', (data) => { console.log(data.toString('hex')); socket.end(); });
`;

const resolve = async (kind: string, ...names: readonly string[]): Promise<readonly unknown[]> =>
  JSON.parse(await lab.run('box', process.execPath, '-e', RESOLVE, kind, ...names));

async function attach(): Promise<void> {
  host.applyTables([TABLE]);
  await host.attach({
    containerId: 'box',
    netns: lab.namespace('box'),
    name: 'box',
    hostname: 'box',
    overlays: [{ networkId: 'app-id', address: '10.0.1.11/24' }],
  });
}

beforeEach(async () => {
  lab = new NetworkLab();
});

afterEach(async () => {
  await lab.close();
});

test('names of services, tasks, aliases and addresses', async () => {
  host = await lab.host('h1', 1);
  await attach();
  const answers = await resolve(
    'resolve4',
    ...[
      'web',
      'WWW',
      'tasks.web',
      'tasks.www',
      'web.2',
      'web.2.task1',
      'web.app',
      'blue',
      'nobody',
    ],
  );
  const sorted = answers.map((answer) => (Array.isArray(answer) ? answer.sort() : answer));
  const serving = ['10.0.1.11', '10.0.1.13'];
  expect(sorted).toEqual([
    ['10.0.1.2'],
    ['10.0.1.2'],
    serving,
    serving,
    ['10.0.1.12'],
    ['10.0.1.12'],
    ['10.0.1.2'],
    serving,
    'ENOTFOUND',
  ]);
  expect(await resolve('resolve6', 'web')).toEqual(['ENODATA']);
  expect(await resolve('reverse', '10.0.1.2', '10.0.1.13')).toEqual([
    ['web.app'],
    ['web.3.task2.app'],
  ]);
});

test('several addresses come in rotating order', async () => {
  host = await lab.host('h1', 1);
  await attach();
  const answers = await resolve('resolve4', 'rr', 'rr', 'rr', 'rr');
  const first = answers.map((answer) => (answer as readonly string[])[0]);
  expect(new Set(first)).toEqual(new Set(['10.0.1.14', '10.0.1.15']));
});

test('TCP answers too', async () => {
  host = await lab.host('h1', 1);
  await attach();
  const question = { type: 'A', name: 'tasks.web' } as const;
  const query = frame(encode({ type: 'query', id: 0x1234, questions: [question] }));
  const hex = query.toString('hex');
  const reply = await lab.run('box', process.execPath, '-e', OVER_TCP, hex);
  expect(reply).toContain('1234');
  expect(reply).toContain('0a00010b');
  expect(reply).toContain('0a00010d');
});

test('a resolver that cannot be reached at all is a server failure, not the end of the agent', async () => {
  host = await lab.host('h1', 1, {
    resolver: () => ({ servers: ['255.255.255.255:53', '127.0.0.1:1'], search: [], options: [] }),
  });
  await attach();
  expect(await resolve('resolve4', 'example.org')).toEqual(['ESERVFAIL']);
});

test('other names go to the resolvers, and silence of theirs is a server failure', async () => {
  const upstream = createSocket('udp4');
  const asked: string[] = [];
  upstream.on('message', (message, from) => {
    asked.push(message.toString('latin1'));
    // The question back with the flag of a reply and "no such name".
    const reply = Buffer.from(message);
    reply.writeUInt16BE(0x8183, 2);
    reply.writeUInt32BE(0, 8);
    upstream.send(reply.subarray(0, message.length), from.port, from.address);
  });
  await new Promise<void>((done) => {
    upstream.bind(0, '127.0.0.1', done);
  });
  host = await lab.host('h1', 1, {
    resolver: () => ({
      servers: [`127.0.0.1:${upstream.address().port}`],
      search: [],
      options: [],
    }),
  });
  await attach();
  expect(await resolve('resolve4', 'example.org')).toEqual(['ENOTFOUND']);
  expect(asked.some((text) => text.includes('example'))).toBe(true);
  await new Promise<void>((done) => {
    upstream.close(done);
  });
  expect(await resolve('resolve4', 'example.org')).toEqual(['ESERVFAIL']);
});

test('a question asked while the agent restarts is answered when it is back', async () => {
  host = await lab.host('h1', 1);
  await attach();
  await host.dispose();
  const patient = RESOLVE.replace('timeout: 1000, tries: 1', 'timeout: 1000, tries: 20');
  const asked = lab.run('box', process.execPath, '-e', patient, 'resolve4', 'web');
  const question = { type: 'A', name: 'www' } as const;
  const hex = frame(encode({ type: 'query', id: 7, questions: [question] })).toString('hex');
  const overTcp = lab.run('box', process.execPath, '-e', OVER_TCP, hex);
  const tracked = (): Promise<string> => lab.run('box', 'cat', '/proc/net/nf_conntrack');
  await expect.poll(tracked, { timeout: 20_000 }).toMatch(/udp.*dst=127.0.0.11/);
  const connecting = (): Promise<string> => lab.run('box', 'ss', '-Htn', 'state', 'syn-sent');
  await expect.poll(connecting, { timeout: 20_000 }).toContain('127.0.0.11');
  host = await lab.host('h1', 1);
  await host.readopt(new Map([['box', lab.pin('box')]]));
  host.applyTables([TABLE]);
  expect(JSON.parse(await asked)).toEqual([['10.0.1.2']]);
  expect(await overTcp).toContain('0a000102');
});
