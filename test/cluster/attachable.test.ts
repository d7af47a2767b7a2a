import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually, TestCluster } from './cluster.ts';

const SLEEP = ['sh', '-c', "trap 'exit 0' TERM; while :; do sleep 1; done"];
const WEB = 'muster/web:1';
let cluster: TestCluster;

beforeAll(async () => {
  cluster = await TestCluster.start('attach', { managers: 1, agents: 2 });
  await cluster.ctl('h1', 'network', 'create', '--attachable', 'app');
  const create = ['service', 'create', '--name', 'web', '--replicas', '2', '--network', 'app'];
  await cluster.ctl('h1', ...create, WEB);
  await cluster.waitRunning('web', 2);
});

afterAll(async () => {
  expect((await cluster?.stop()) ?? []).toEqual([]);
});

/** Asks from inside a container; the command ends with an error when nobody answers. */
const ask = (host: string, container: string, url: string): Promise<string> =>
  cluster.docker(host, 'exec', container, 'sh', '-c', `wget -q -O - ${url}`);

async function run(host: string, name: string, ...flags: readonly string[]): Promise<void> {
  await cluster.docker(host, 'run', '-d', '--name', name, ...flags, WEB, ...SLEEP);
}

async function address(host: string, container: string, network = 'app'): Promise<string> {
  const format = `{{(index .NetworkSettings.Networks "${network}").IPAddress}}`;
  return (await cluster.docker(host, 'inspect', '-f', format, container)).trim();
}

async function remove(host: string, ...containers: readonly string[]): Promise<void> {
  await cluster.docker(host, 'rm', '-f', ...containers);
}

test('containers that a user starts on workers reach services and each other by name', async () => {
  await run('h2', 'one', '--network', 'app');
  await run('h3', 'two', '--network', 'app', '--network-alias', 'second');
  expect(await ask('h2', 'one', 'http://web/')).toContain('hello from');
  const [one, two] = [await address('h2', 'one'), await address('h3', 'two')];
  expect(one).toMatch(/^10\./);
  expect(two).not.toBe(one);
  const format = '{{range .Containers}}{{.Name}} {{.IPv4Address}} {{end}}';
  const members = await cluster.docker('h1', 'network', 'inspect', '-f', format, 'app');
  expect(members).toContain(`one ${one}/`);
  expect(members).toContain(`two ${two}/`);
  expect(members).toMatch(/web\.[12]\.\w+ 10\./);
  for (const name of ['two', 'second'])
    expect(await cluster.docker('h2', 'exec', 'one', 'ping', '-c', '1', '-W', '5', name)).toContain(
      `(${two})`,
    );
  const [task] = await cluster.running('web');
  if (!task) throw new Error('no task of web');
  expect(await cluster.execIn(task, 'ping -c 1 -W 5 one')).toContain(`(${one})`);
});

test('a network in use by a container is not removed', async () => {
  await cluster.ctl('h1', 'network', 'create', '--attachable', 'busy');
  await run('h2', 'holder', '--network', 'busy');
  const refused = await cluster.tryCtl('h1', 'network', 'rm', 'busy');
  expect(refused.code).toBe(1);
  expect(refused.err).toMatch(/network \S+ is in use by task \S+ \(container holder\)/);
  await remove('h2', 'holder');
  await eventually('the network is free', async () => {
    return (await cluster.tryCtl('h1', 'network', 'rm', 'busy')).code === 0;
  });
});

test('the agent may die: the container keeps its address and its way', async () => {
  const before = await address('h2', 'one');
  await cluster.host('h2').kill('agent');
  await cluster.host('h2').start();
  await eventually('the agent knows the address again', async () => {
    return (await address('h2', 'one')) === before;
  });
  expect(await ask('h2', 'one', 'http://web/')).toContain('hello from');
  expect(await cluster.docker('h3', 'exec', 'two', 'ping', '-c', '1', 'one')).toContain(before);
});

test('a running container is connected and disconnected', async () => {
  await run('h3', 'late');
  await expect(ask('h3', 'late', 'http://web/')).rejects.toThrow('bad address');
  await cluster.docker('h3', 'network', 'connect', '--alias', 'tardy', 'app', 'late');
  expect(await ask('h3', 'late', 'http://web/')).toContain('hello from');
  const ping = ['exec', 'one', 'ping', '-c', '1', '-W', '2', 'tardy'];
  expect(await cluster.docker('h2', ...ping)).toContain('1 packets received');
  const again = await cluster.tryDocker('h3', 'network', 'connect', 'app', 'late');
  expect(again.err).toContain('endpoint with name late already exists in network app');
  await cluster.docker('h3', 'network', 'disconnect', 'app', 'late');
  await expect(ask('h3', 'late', 'http://web/')).rejects.toThrow('bad address');
  await eventually('its name is gone', async () => {
    return (await cluster.tryDocker('h2', ...ping)).code !== 0;
  });
  await remove('h3', 'late');
});

test('an address can be asked for, once', async () => {
  await cluster.ctl('h1', 'network', 'create', '--attachable', '--subnet', '10.77.0.0/24', 'plan');
  await run('h2', 'fixed', '--network', 'plan', '--ip', '10.77.0.50');
  expect(await address('h2', 'fixed', 'plan')).toBe('10.77.0.50');
  const flags = ['run', '-d', '--name', 'clash', '--network', 'plan', '--ip', '10.77.0.50'];
  const refused = await cluster.tryDocker('h3', ...flags, WEB);
  expect(refused.err).toContain('address 10.77.0.50 is not free in network plan');
  await remove('h3', 'clash');
  await remove('h2', 'fixed');
});

test('a network with IPv6 gives tasks and containers an address of each family, on every host', async () => {
  const subnets = ['--subnet', 'fd00:77::/64', '--subnet', '10.78.0.0/24'];
  await cluster.ctl('h1', 'network', 'create', '--attachable', '--ipv6', ...subnets, 'dual');
  const format = '{{.EnableIPv6}}{{range .IPAM.Config}} {{.Subnet}} {{.Gateway}}{{end}}';
  expect(await cluster.docker('h1', 'network', 'inspect', '-f', format, 'dual')).toBe(
    'true 10.78.0.0/24 10.78.0.1 fd00:77::/64 fd00:77::1\n',
  );
  const create = ['--network', 'dual', '--mode', 'global'];
  await cluster.ctl('h1', 'service', 'create', '--name', 'both', ...create, WEB);
  await cluster.waitRunning('both', 3);
  await run('h2', 'six', '--network', 'dual', '--ip6', 'fd00:77::66');
  const ipv6 = '{{.NetworkSettings.Networks.dual.GlobalIPv6Address}}';
  expect(await cluster.docker('h2', 'inspect', '-f', ipv6, 'six')).toBe('fd00:77::66\n');
  const members = '{{range .Containers}}{{.Name}} {{.IPv6Address}} {{end}}';
  expect(await cluster.docker('h1', 'network', 'inspect', '-f', members, 'dual')).toContain(
    'six fd00:77::66/64',
  );
  const vips = '{{range .Endpoint.VirtualIPs}}{{.Addr}} {{end}}';
  const [, vip = ''] =
    /(fd00:77::\S+)\/64 $/m.exec(
      await cluster.docker('h1', 'service', 'inspect', '-f', vips, 'both'),
    ) ?? [];
  const lookup = async (name: string): Promise<readonly string[]> => {
    const found = await cluster.docker('h2', 'exec', 'six', 'nslookup', '-type=aaaa', name);
    return [...found.matchAll(/Address: (fd00:77::\S+)/g)].map(([, one = '']) => one);
  };
  expect(await lookup('both')).toEqual([vip]);
  expect(await ask('h2', 'six', `http://[${vip}]/`)).toContain('hello from');
  const addresses = await lookup('tasks.both');
  expect(new Set(addresses).size).toBe(3);
  for (const one of [...addresses, vip]) {
    await cluster.docker('h2', 'exec', 'six', 'ping', '-6', '-c', '1', '-W', '5', one);
  }
  const [task] = await cluster.running('both');
  if (!task) throw new Error('no task of both');
  expect(await cluster.execIn(task, 'ping -6 -c 1 -W 5 six')).toContain('(fd00:77::66)');
  const refused = await cluster.tryCtl('h1', 'network', 'create', '--subnet', 'fd00:77::/80', 'x');
  expect(refused.err).toContain('subnet fd00:77::/80 is of IPv6');
  const overlap = ['--ipv6', '--subnet', 'fd00:77::/80', 'x'];
  expect((await cluster.tryCtl('h1', 'network', 'create', ...overlap)).err).toContain(
    'Pool overlaps with other one on this address space: fd00:77::/80 with fd00:77::/64 of network dual',
  );
  await remove('h2', 'six');
  await cluster.ctl('h1', 'service', 'rm', 'both');
});

test('refusals are in the words of Docker', async () => {
  await cluster.ctl('h1', 'network', 'create', 'closed');
  const closed = await cluster.tryDocker('h2', 'run', '--rm', '--network', 'closed', WEB, 'true');
  expect(closed.code).toBe(125);
  expect(closed.err).toContain(
    'Could not attach to network closed: rpc error: code = PermissionDenied desc = network closed not manually attachable',
  );
  const none = await cluster.tryDocker('h2', 'run', '--rm', '--network', 'none-such', WEB, 'true');
  expect(none.code).toBe(125);
  expect(none.err).toContain('network none-such not found');
});

test('removed containers give everything back', async () => {
  await remove('h2', 'one');
  await remove('h3', 'two');
  await cluster.ctl('h1', 'service', 'rm', 'web');
  for (const network of ['app', 'plan', 'dual', 'closed']) {
    await eventually(`${network} is free`, async () => {
      return (await cluster.tryCtl('h1', 'network', 'rm', network)).code === 0;
    });
  }
});
