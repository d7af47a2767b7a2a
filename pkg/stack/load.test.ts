import { expect, test } from 'vitest';
import { loadStack, type Stack } from './load.ts';

const FILES: Readonly<Record<string, string>> = {
  'motd.txt': 'hello',
  '.env.web': '# comment\nFROM_FILE=1\nMODE=file\n',
};

function load(text: string, ...more: readonly string[]): Stack {
  const read = (path: string): string => {
    const content = FILES[path];
    if (content === undefined) throw new Error(`no file ${path}`);
    return content;
  };
  return loadStack({
    name: 'shop',
    files: [text, ...more].map((each, at) => ({
      path: at === 0 ? 'stack.yaml' : `more-${at}.yaml`,
      text: each,
    })),
    variables: { TAG: '1.2', EMPTY: '' },
    folder: '/srv/shop',
    home: '/home/ada',
    readText: read,
    readBase64: (path) => Buffer.from(read(path)).toString('base64'),
  });
}

test('a service becomes a spec with scoped names, labels and the default network', () => {
  const stack = load('services:\n  web:\n    image: nginx:${TAG}\n    deploy: {replicas: 3}\n');
  expect(stack.networks.map((network) => network.Name)).toEqual(['shop_default']);
  const [web] = stack.services;
  expect(web?.Name).toBe('shop_web');
  expect(web?.Mode).toEqual({ Replicated: { Replicas: 3 } });
  expect(web?.Labels).toEqual({
    'com.docker.stack.image': 'nginx:1.2',
    'com.docker.stack.namespace': 'shop',
  });
  expect(web?.TaskTemplate?.Networks).toEqual([{ Target: 'shop_default', Aliases: ['web'] }]);
});

test('the same file gives the same specs, whatever the order of its keys', () => {
  const one = load(
    'services:\n  web:\n    image: a\n    environment: {B: 2, A: 1}\n    deploy: {labels: {z: 1, y: 2}}\n',
  );
  const other = load(
    'services:\n  web:\n    deploy: {labels: {y: 2, z: 1}}\n    environment: [A=1, B=2]\n    image: a\n',
  );
  expect(JSON.stringify(other.services)).toBe(JSON.stringify(one.services));
});

test('env_file is read, environment wins, a name alone takes the value from outside', () => {
  const stack = load(
    'services:\n  web:\n    image: a\n    env_file: .env.web\n    environment: {MODE: own, TAG: , NOWHERE: }\n',
  );
  expect(stack.services[0]?.TaskTemplate?.ContainerSpec?.Env).toEqual([
    'FROM_FILE=1',
    'MODE=own',
    'NOWHERE',
    'TAG=1.2',
  ]);
});

test('variables: defaults, alternatives, errors and the escaped dollar', () => {
  const command = (text: string): readonly string[] | null | undefined =>
    load(`services:\n  web:\n    image: a\n    command: ["${text}"]\n`).services[0]?.TaskTemplate
      ?.ContainerSpec?.Args;
  expect(command('${NO:-d} ${EMPTY-d} ${EMPTY:-d} ${TAG:+x} $$HOME $TAG')).toEqual([
    'd  d x $HOME 1.2',
  ]);
  expect(() => command('${NO:?must be set}')).toThrow(
    'required variable NO is missing a value: must be set',
  );
  expect(() => command('${')).toThrow('invalid interpolation format');
});

test('secrets and configs are read, referenced by name and mounted with octal modes', () => {
  const stack = load(
    'services:\n  web:\n    image: a\n    secrets: [{source: motd, target: /m, mode: 0400}]\n    configs: [page]\nsecrets:\n  motd: {file: motd.txt}\nconfigs:\n  page: {file: motd.txt, name: page-v1}\n',
  );
  expect(stack.secrets).toEqual([
    { Name: 'shop_motd', Labels: { 'com.docker.stack.namespace': 'shop' }, Data: 'aGVsbG8=' },
  ]);
  const container = stack.services[0]?.TaskTemplate?.ContainerSpec;
  expect(container?.Secrets?.[0]).toEqual({
    File: { Name: '/m', UID: '0', GID: '0', Mode: 0o400 },
    SecretID: '',
    SecretName: 'shop_motd',
  });
  expect(container?.Configs?.[0]?.ConfigName).toBe('page-v1');
});

test('ports, volumes and update policies take their long and short forms', () => {
  const stack = load(
    'services:\n  web:\n    image: a\n    ports: ["8080:80", "53:53/udp", {target: 81, mode: host}]\n    volumes: ["./data:/data:ro", "db:/db"]\n    deploy: {update_config: {parallelism: 2, delay: 1m30s, order: start-first}}\nvolumes: {db: }\n',
  );
  const spec = stack.services[0];
  expect(spec?.EndpointSpec?.Ports).toEqual([
    { TargetPort: 81, PublishMode: 'host' },
    { Protocol: 'udp', TargetPort: 53, PublishedPort: 53, PublishMode: 'ingress' },
    { Protocol: 'tcp', TargetPort: 80, PublishedPort: 8080, PublishMode: 'ingress' },
  ]);
  expect(spec?.TaskTemplate?.ContainerSpec?.Mounts?.map((mount) => mount.Source)).toEqual([
    '/srv/shop/data',
    'shop_db',
  ]);
  expect(spec?.UpdateConfig).toMatchObject({ Parallelism: 2, Delay: 90e9, Order: 'start-first' });
});

test('later files win: scalars are replaced, mappings merged, lists joined', () => {
  const stack = load(
    'services:\n  web:\n    image: a:1\n    environment: {A: 1}\n    ports: ["80:80"]\n',
    'services:\n  web:\n    image: a:2\n    environment: {B: 2}\n    ports: ["81:81"]\n',
  );
  const spec = stack.services[0];
  expect(spec?.TaskTemplate?.ContainerSpec?.Image).toBe('a:2');
  expect(spec?.TaskTemplate?.ContainerSpec?.Env).toEqual(['A=1', 'B=2']);
  expect(spec?.EndpointSpec?.Ports).toHaveLength(2);
});

test.each([
  [
    'services:\n  web:\n    image: a\n    colour: red\n',
    'stack.yaml:4: services.web.colour Additional property colour is not allowed',
  ],
  ['services:\n  web:\n    image: [a\n', 'stack.yaml:4: yaml:'],
  [
    'services:\n  web:\n    image: a\n    ports: 80\n',
    'stack.yaml:4: services.web.ports must be a list',
  ],
  ['version: "2.1"\nservices: {}\n', 'stack.yaml:1: unsupported Compose file version: 2.1'],
  [
    'services:\n  web:\n    image: a\n    mem_limit: 1g\n',
    'stack.yaml:4: services.web.mem_limit: Set resource limits using deploy.resources',
  ],
  ['services:\n  web:\n    image: a\n    networks: [nowhere]\n', 'undefined network "nowhere"'],
  ['services:\n  web:\n    image: a\n    secrets: [nothing]\n', 'undefined secret "nothing"'],
  ['services:\n  web: {}\n', 'invalid image reference for service web: no image specified'],
])('a mistake is named with its place: %#', (text, message) => {
  expect(() => load(text)).toThrow(message);
});

test('what a stack cannot have is said, not silently dropped', () => {
  const { warnings } = load(
    'services:\n  web:\n    image: a\n    build: .\n    privileged: true\n    container_name: x\n',
  );
  expect(warnings).toEqual([
    'Ignoring unsupported options: build, privileged',
    'container_name: Setting the container name is not supported.',
  ]);
});

test('x-muster becomes the labels of the policies', () => {
  const stack = load(
    'services:\n  web:\n    image: a\n    x-muster: {priority: 80, preempt: true, prefer: [node.labels.ssd exists, service==db]}\n',
  );
  expect(stack.services[0]?.Labels).toMatchObject({
    'muster.priority': '80',
    'muster.preempt': 'true',
    'muster.prefer': 'node.labels.ssd exists; service==db',
  });
});

const RESERVE = (devices: string): string =>
  `services:\n  web:\n    image: a\n    deploy: {resources: {reservations: {devices: [${devices}]}}}\n`;

test('a service mounts volumes of the cluster: of the stack, from outside, and of a group', () => {
  const mount = (source: string): string =>
    `{type: cluster, source: "${source}", target: "/${source}", read_only: true}`;
  const file = (...sources: readonly string[]): string =>
    `services: {web: {image: a, volumes: [${sources.map(mount).join(', ')}]}}\nvolumes: {own: , far: {external: true}}\n`;
  const spec = load(file('own', 'far', 'group:fast')).services[0];
  expect(spec?.TaskTemplate?.ContainerSpec?.Mounts).toEqual([
    { Type: 'cluster', Source: 'shop_own', Target: '/own', ReadOnly: true },
    { Type: 'cluster', Source: 'far', Target: '/far', ReadOnly: true },
    { Type: 'cluster', Source: 'group:fast', Target: '/group:fast', ReadOnly: true },
  ]);
  expect(() => load(file('none'))).toThrow('undefined volume "none"');
});

test('a request for devices reserves a generic resource of the kind', () => {
  const stack = load(RESERVE('{capabilities: [gpu], count: 2}'));
  expect(stack.services[0]?.TaskTemplate?.Resources?.Reservations?.GenericResources).toEqual([
    { DiscreteResourceSpec: { Kind: 'gpu', Value: 2 } },
  ]);
});

test.each([
  ['{count: 1}', 'name one kind that nodes offer'],
  ['{capabilities: [gpu, tpu], count: 1}', 'name one kind that nodes offer'],
  ['{capabilities: [gpu], device_ids: ["0"]}', 'device_ids: a node is not known yet'],
  ['{capabilities: [gpu], driver: nvidia, count: 1}', 'driver: there are no device drivers'],
  ['{capabilities: [gpu], count: all}', 'count: say a number'],
  ['{capabilities: [gpu]}', 'count: say a number'],
])('of devices %s is refused', (devices, message) => {
  expect(() => load(RESERVE(devices))).toThrow(message);
});

test('a network of a stack can have IPv6', () => {
  const stack = load(
    'services:\n  web:\n    image: a\n    networks: [dual, plain]\nnetworks:\n  dual:\n    enable_ipv6: true\n    ipam: {config: [{subnet: "fd00:5::/64"}]}\n  plain: {}\n',
  );
  expect(stack.networks.find(({ Name }) => Name === 'shop_dual')).toMatchObject({
    EnableIPv6: true,
    IPAM: { Config: [{ Subnet: 'fd00:5::/64' }] },
  });
  expect(stack.networks.find(({ Name }) => Name === 'shop_plain')).not.toHaveProperty('EnableIPv6');
});
