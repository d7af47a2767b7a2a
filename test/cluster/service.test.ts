import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestCluster } from './cluster.ts';

/** Sends datagrams one after another, each from a port of its own, and prints the answers. */
const ASK_UDP = `
const { createSocket } = require('node:dgram');
const [host, port, count] = process.argv.slice(1);
(async () => {
  for (let asked = 0; asked < Number(count); asked++) {
    const socket = createSocket('udp4');
    socket.connect(Number(port), host, () => socket.send('hello'));
    process.stdout.write(await new Promise((answer) => socket.once('message', (text) => answer(text.toString()))));
    socket.close();
  }
})();`;
const HOSTS = ['h1', 'h2', 'h3', 'h4', 'h5', 'h6'];
let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start('service');
});

afterAll(async () => {
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

test('three replicas run on three nodes behind a virtual IP, a name and a port on every host', async () => {
  await cluster.ctl('h1', 'network', 'create', '--attachable', 'app');
  await cluster.ctl(
    'h1',
    'service',
    'create',
    '--name',
    'web',
    '--replicas',
    '3',
    '--network',
    'app',
    '--publish',
    '8080:80',
    '--publish',
    '8080:80/udp',
    'muster/web:1',
  );
  await cluster.ctl(
    'h1',
    'service',
    'create',
    '--name',
    'client',
    '--network',
    'app',
    'muster/web:1',
    'sh',
    '-c',
    "trap 'exit 0' TERM; while :; do sleep 1; done",
  );

  const tasks = await cluster.waitRunning('web', 3);
  expect(new Set(tasks.map((task) => task.NodeID)).size).toBe(3);

  const [client] = await cluster.waitRunning('client', 1);
  if (!client) throw new Error('no client task');
  const answers = await cluster.execIn(
    client,
    'for i in $(seq 300); do wget -q -O - http://web/; done',
  );
  const byReplica = new Map<string, number>();
  for (const [, name = ''] of answers.matchAll(/hello from (\S+),/g))
    byReplica.set(name, (byReplica.get(name) ?? 0) + 1);
  expect(byReplica.size).toBe(3);
  for (const count of byReplica.values()) expect(Math.abs(count - 100)).toBeLessThanOrEqual(15);

  const [vip] =
    /Address[^:]*: (10\.\S+)/g.exec(
      await cluster.execIn(client, 'nslookup web 127.0.0.11 | tail -n +3'),
    ) ?? [];
  expect(vip).toBeDefined();
  const all = await cluster.execIn(client, 'nslookup tasks.web 127.0.0.11 | tail -n +3');
  expect(new Set([...all.matchAll(/Address[^:]*: (10\.\S+)/g)].map((match) => match[1])).size).toBe(
    3,
  );
});

test('a task sees the client, by TCP and UDP and whichever host is entered', async () => {
  const seen = `you are ${cluster.host('h1').address}`;
  for (const host of HOSTS) {
    const entry = cluster.host(host).address;
    const datagrams = await cluster.inside(
      'h1',
      process.execPath,
      '-e',
      ASK_UDP,
      entry,
      '8080',
      '6',
    );
    expect({ host, answers: datagrams.out.match(/hello from \S+, version 1; .*/g) ?? [] }).toEqual({
      host,
      answers: Array(6).fill(expect.stringContaining(seen)),
    });
    expect(new Set(datagrams.out.match(/from \S+,/g)).size).toBe(3);
    const answer = await cluster.inside(
      'h1',
      'wget',
      '-q',
      '-T',
      '5',
      '-O',
      '-',
      `http://${cluster.host(host).address}:8080/`,
    );
    expect(answer.out).toContain('hello from');
    expect(answer.out).toContain(seen);
  }
});

test('any manager answers, and logs of tasks anywhere are read from any of them', async () => {
  for (const host of ['h1', 'h2', 'h3']) {
    expect(await cluster.ctl(host, 'service', 'ls')).toContain('web');
    expect(await cluster.ctl(host, 'service', 'logs', '--raw', 'web')).toContain(
      'listens on port 80',
    );
  }
});

test('removing a service ends its containers on every host and frees its network', async () => {
  await cluster.ctl('h1', 'service', 'rm', 'web', 'client');
  await cluster.ctl('h1', 'network', 'rm', 'app');
  await expect
    .poll(
      async () =>
        (await Promise.all(HOSTS.map((host) => cluster.docker(host, 'ps', '-aq')))).join(''),
      { timeout: 30_000 },
    )
    .toBe('');
  expect(await cluster.ctl('h1', 'network', 'ls')).not.toContain(' app ');
});
