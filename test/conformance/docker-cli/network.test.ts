import { afterAll, beforeAll, expect, test } from 'vitest';
import { ask } from '../docker-api/http.ts';
import { type Setup, setUp } from './setup.ts';

let setup: Setup;
beforeAll(async () => {
  setup = await setUp();
});
afterAll(async () => {
  await setup[Symbol.asyncDispose]();
});

test('an overlay network is created, listed beside local ones, inspected and removed', async () => {
  const { docker } = setup;
  await docker.run([
    'network',
    'create',
    '-d',
    'overlay',
    '--subnet',
    '10.9.0.0/24',
    '--label',
    'a=b',
    'app',
  ]);
  await docker.run(['network', 'create', 'lan']);
  const list = await docker.run(['network', 'ls', '--format', '{{.Name}} {{.Driver}} {{.Scope}}']);
  expect(list.split('\n').toSorted()).toEqual([
    'app overlay swarm',
    'ingress overlay swarm',
    'lan bridge local',
  ]);
  expect(
    await docker.run([
      'network',
      'ls',
      '-f',
      'label=a',
      '-f',
      'driver=overlay',
      '--format',
      '{{.Name}}',
    ]),
  ).toBe('app');
  const subnet = '{{(index .IPAM.Config 0).Subnet}}';
  expect(await docker.run(['network', 'inspect', 'app', '--format', subnet])).toBe('10.9.0.0/24');
  await docker.run(['network', 'rm', 'app', 'lan']);
  expect(await docker.run(['network', 'ls', '--format', '{{.Name}}'])).toBe('ingress');
});

test('verbose inspect names the services and tasks on a network', async () => {
  const { docker } = setup;
  await docker.run(['network', 'create', '-d', 'overlay', 'app']);
  const create = ['service', 'create', '--no-resolve-image', '--update-monitor', '100ms', '-q'];
  await docker.run([...create, '--name', 'web', '--network', 'app', 'busybox']);
  const services = '{{range $name, $s := .Services}}{{$name}} {{(index $s.Tasks 0).Name}}{{end}}';
  expect(await docker.run(['network', 'inspect', '-v', 'app', '--format', services])).toMatch(
    /^web web\.1\./,
  );
  await docker.run(['service', 'rm', 'web']);
  await docker.run(['network', 'rm', 'app']);
});

test('a subnet that another network of the cluster has is refused', async () => {
  const { docker } = setup;
  const create = ['network', 'create', '-d', 'overlay', '--subnet'];
  await docker.run([...create, '10.11.0.0/16', 'wide']);
  const refused = await docker.try([...create, '10.11.5.0/24', 'narrow']);
  expect(refused.stderr).toContain('Pool overlaps with other one on this address space');
  await docker.run(['network', 'rm', 'wide']);
  await docker.run([...create, '10.11.5.0/24', 'narrow']);
  await docker.run(['network', 'rm', 'narrow']);
});

test('two networks of one name are refused', async () => {
  const { docker } = setup;
  await docker.run(['network', 'create', '-d', 'overlay', 'twice']);
  const refused = await docker.try(['network', 'create', '-d', 'overlay', 'twice']);
  expect(refused.stderr).toContain('network with name twice already exists');
});

test.each([
  [['create', '-d', 'overlay', 'ingress'], 'is kept for the routing mesh'],
  [['create', 'host'], 'operation is not permitted on predefined host network'],
  [['create', '-d', 'overlay', '--subnet', 'nonsense', 'x'], 'invalid'],
  [
    ['create', '-d', 'overlay', '--opt', 'encrypted', 'x'],
    'encrypted overlay network x is not supported by this version: the kernel of',
  ],
  [['create', '-d', 'overlay', '--subnet', 'fd00:5::/64', 'x'], 'is not made for: say --ipv6'],
  [['create', '-d', 'macvlan', '--scope', 'swarm', 'x'], 'network driver macvlan is not supported'],
  [['rm', 'nowhere'], 'network nowhere not found'],
  [['inspect', 'nowhere'], 'network nowhere not found'],
])('docker network %j is refused', async (args, message) => {
  const refused = await setup.docker.try(['network', ...args]);
  expect(refused.exitCode).toBe(1);
  expect(refused.stderr).toContain(message);
});

test('a service cannot use a network of the host, and the refusal says so', async () => {
  const { docker } = setup;
  await docker.run(['network', 'create', 'lan']);
  const body = { TaskTemplate: { ContainerSpec: { Image: 'x' }, Networks: [{ Target: 'lan' }] } };
  const refused = await ask(setup.socketPath, '/services/create', { body });
  expect(refused.status).toBe(403);
  expect(refused.text).toContain('The network lan cannot be used with services.');
});
