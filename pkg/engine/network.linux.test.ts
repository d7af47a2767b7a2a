/** Containers on real networks; the host is a network namespace of its own. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { silentLogger } from '../io/index.ts';
import type {
  NetworkId,
  NetworkTable,
  NodeId,
  ServiceId,
  TaskId,
  Version,
} from '../model/index.ts';
import { createHostNetwork, type HostNetwork } from '../overlaynet/index.ts';
import { TestHost } from './test-host.ts';

const NAMESPACE = `muster-engine-${process.pid}`;
const runDir = mkdtempSync(join(tmpdir(), 'muster-engine-net-'));
let network: HostNetwork;
let host: TestHost;

const ip = (...args: readonly string[]): Buffer => execFileSync('ip', args);
const inHost = (...args: readonly string[]): string =>
  execFileSync('ip', ['netns', 'exec', NAMESPACE, ...args]).toString();

const open = (): Promise<HostNetwork> =>
  createHostNetwork({
    nodeId: 'node1',
    runDir,
    underlayAddress: '192.168.77.1',
    netns: `/run/netns/${NAMESPACE}`,
    resolver: () => ({ servers: [], search: [], options: [] }),
    log: silentLogger,
  });

beforeAll(async () => {
  ip('netns', 'add', NAMESPACE);
  inHost('ip', 'link', 'set', 'lo', 'up');
  inHost('ip', 'link', 'add', 'eth0', 'type', 'bridge');
  inHost('ip', 'address', 'add', '192.168.77.1/24', 'dev', 'eth0');
  inHost('ip', 'link', 'set', 'eth0', 'up');
  network = await open();
  host = await TestHost.open(network);
});
afterAll(async () => {
  await host.close();
  await network.removeEverything();
  ip('netns', 'delete', NAMESPACE);
  rmSync(runDir, { recursive: true, force: true });
});

/** It listens before it goes into the background. */
const SERVER =
  'mkdir /www; hostname > /www/index.html; httpd -p 80 -h /www; echo ready; trap "exit 0" TERM; while :; do sleep 0.1; done';

test('containers of a local network reach each other by name, and the host by published ports', async () => {
  const { id } = await host.engine.networks.create({ Name: 'local', Driver: 'bridge' });
  const NetworkMode = 'local';
  const web = await host.start(
    SERVER,
    {
      Hostname: 'web-box',
      HostConfig: { NetworkMode, PortBindings: { '80/tcp': [{ HostPort: '8080' }] } },
      NetworkingConfig: { EndpointsConfig: { local: { Aliases: ['alias'] } } },
    },
    'web',
  );
  await host.logged(web, 'ready');
  const asked = await host.run(
    'wget -qO- http://web; wget -qO- http://alias; cat /etc/resolv.conf',
    {
      HostConfig: { NetworkMode },
    },
  );
  expect(asked.out).toMatch(/^web-box\nweb-box\nnameserver 127\.0\.0\.11\n/);
  expect(inHost('wget', '-qO-', 'http://192.168.77.1:8080')).toBe('web-box\n');
  const inspect = await host.engine.containers.inspect('web', { size: false });
  expect(inspect['NetworkSettings']).toMatchObject({
    Ports: { '80/tcp': [{ HostIp: '0.0.0.0', HostPort: '8080' }] },
    Networks: { local: { NetworkID: id, IPAddress: expect.stringMatching(/^172\./) } },
  });
  expect(await host.engine.networks.inspect('local')).toMatchObject({
    Containers: { [web]: { Name: 'web' } },
  });
  await expect(host.engine.networks.remove('local')).rejects.toThrow('has active endpoints');

  await network.dispose();
  network = await open();
  Object.assign(host, { network });
  await host.restart();
  expect(inHost('wget', '-qO-', 'http://192.168.77.1:8080')).toBe('web-box\n');
  const again = await host.run('wget -qO- http://web', { HostConfig: { NetworkMode } });
  expect(again.out).toBe('web-box\n');
  await host.engine.containers.remove('web', { force: true, volumes: true });
  await host.engine.networks.remove('local');
});

test('a bridge keeps its range and what is reserved, and refuses what lies outside of its subnet', async () => {
  const { networks } = host.engine;
  const config = { Subnet: '172.26.0.0/16', IPRange: '172.26.4.0/24', Gateway: '172.26.0.9' };
  const kept = { ...config, AuxiliaryAddresses: { router: '172.26.4.1' } };
  const bridge = { Name: 'ranged', Driver: 'bridge' };
  await networks.create({ ...bridge, IPAM: { Config: [kept] } });
  expect(await networks.inspect('ranged')).toMatchObject({ IPAM: { Config: [kept] } });
  await networks.remove('ranged');
  const outside = { ...config, IPRange: '172.27.0.0/24' };
  await expect(networks.create({ ...bridge, IPAM: { Config: [outside] } })).rejects.toThrow(
    'range 172.27.0.0/24 is not in subnet 172.26.0.0/16',
  );
  await expect(
    networks.create({ ...bridge, IPAM: { Config: [{ Subnet: 'nonsense' }] } }),
  ).rejects.toThrow('invalid subnet nonsense');
});

test('a bridge made for it has IPv6 too: its subnet, addresses and names, and ports on IPv6 addresses', async () => {
  const { networks } = host.engine;
  const six = { Subnet: 'fd00:6::/64', Gateway: 'fd00:6::1' };
  const dual = { Name: 'dual', Driver: 'bridge', EnableIPv6: true };
  await expect(
    networks.create({ ...dual, EnableIPv6: false, IPAM: { Config: [six] } }),
  ).rejects.toThrow('subnet fd00:6::/64 is of IPv6, which the network is not made for');
  await networks.create({ ...dual, IPAM: { Config: [six] } });
  const shown = await networks.inspect('dual');
  expect(shown).toMatchObject({ EnableIPv6: true, IPAM: { Config: [{}, six] } });
  await networks.create({ ...dual, Name: 'next' });
  expect(JSON.stringify(await networks.inspect('next'))).toContain('fd6d:7573:7465:1000::/64');
  const id = await host.start('echo ready; sleep 1000', { HostConfig: { NetworkMode: 'dual' } });
  const [first] = Object.values((await networks.inspect('dual'))['Containers'] as object);
  expect(first).toMatchObject({ IPv6Address: 'fd00:6::2/64' });
  expect((await host.exec(id, 'ip -6 route show default')).out).toContain('via fd00:6::1');
  await host.engine.containers.remove(id, { force: true, volumes: true });
  for (const name of ['dual', 'next']) await networks.remove(name);
});

test('a macvlan network needs a parent of this host and its subnet', async () => {
  const { networks } = host.engine;
  const macvlan = { Name: 'lan', Driver: 'macvlan' };
  await expect(networks.create(macvlan)).rejects.toThrow(
    'name a link of this host: -o parent=eth0',
  );
  const Options = { parent: 'eth9' };
  await expect(networks.create({ ...macvlan, Options })).rejects.toThrow('needs the subnet');
  const IPAM = { Config: [{ Subnet: '192.0.2.0/24' }] };
  await expect(networks.create({ ...macvlan, Options, IPAM })).rejects.toThrow(
    'parent eth9 is no link of this host',
  );
  const passthru = { parent: 'eth9', macvlan_mode: 'passthru' };
  await expect(networks.create({ ...macvlan, Options: passthru })).rejects.toThrow(
    'network option macvlan_mode=passthru is not supported',
  );
  expect((await networks.list()).map(({ Name }) => Name)).not.toContain('lan');
});

test('without a network there is a loopback and nothing else', async () => {
  const { out } = await host.run('ip -o link | cut -d: -f2; ping -c 1 127.0.0.1 | grep -c ttl', {
    HostConfig: { NetworkMode: 'none' },
  });
  expect(out).toBe(' lo\n1\n');
});

test('a network can be joined and left while the container runs', async () => {
  await host.engine.networks.create({ Name: 'late', Driver: 'bridge' });
  const id = await host.start('echo ready; sleep 1000', { HostConfig: { NetworkMode: 'bridge' } });
  const EndpointConfig = { IPAMConfig: { IPv6Address: 'fd00::9' } };
  await expect(
    host.engine.networks.connect('late', { Container: id, EndpointConfig }),
  ).rejects.toThrow('an IPv6 address on network late is not supported');
  await host.engine.networks.connect('late', { Container: id });
  expect((await host.exec(id, 'ip -o -4 address | grep -c eth')).out).toBe('2\n');
  await host.engine.networks.disconnect('late', { Container: id });
  expect((await host.exec(id, 'ip -o -4 address | grep -c eth')).out).toBe('1\n');
  await host.engine.containers.remove(id, { force: true, volumes: true });
  await host.engine.networks.remove('late');
});

function table(addresses: readonly string[]): NetworkTable {
  return {
    networkId: 'overlay1' as NetworkId,
    name: 'app',
    vni: 4097,
    dataPathPort: 4789,
    ingress: false,
    internal: false,
    subnets: [{ subnet: '10.0.9.0/24', gateway: '10.0.9.1' }],
    peers: [{ nodeId: 'node1' as NodeId, address: '192.168.77.1' }],
    endpoints: addresses.map((address, index) => ({
      taskId: `task${index + 1}` as TaskId,
      nodeId: 'node1' as NodeId,
      serviceId: 'service1' as ServiceId,
      serviceName: 'web',
      slotName: `web.${index + 1}`,
      name: `web.${index + 1}.task${index + 1}`,
      addresses: [address],
      aliases: [],
      state: 'in-service',
    })),
    services: [
      {
        serviceId: 'service1' as ServiceId,
        name: 'web',
        vips: ['10.0.9.2'],
        aliases: [],
        ports: [],
      },
    ],
    gateways: [],
    revision: 1 as Version,
  };
}

test('tasks of a service are reached by its name on an overlay, and by ports of mode host', async () => {
  const { tasks } = host.engine;
  network.applyTables([table(['10.0.9.11', '10.0.9.12'])]);
  const specs = ['10.0.9.11/24', '10.0.9.12/24'].map((address) =>
    host.task(SERVER, {
      networks: [
        {
          networkId: 'overlay1' as NetworkId,
          networkName: 'app',
          addresses: [address],
          aliases: [],
        },
      ],
      hostPorts: [{ protocol: 'tcp', targetPort: 80, publishedPort: 0 }],
      container: { Image: 'busybox', Hostname: '{{.Task.Name}}' },
    }),
  );
  for (const spec of specs) {
    await tasks.createTask(spec);
    const { containerId, hostPorts } = await tasks.startTask(spec.taskId);
    await host.logged(containerId, 'ready');
    const port = hostPorts[0]?.publishedPort ?? 0;
    expect(port).toBeGreaterThan(0);
    expect(inHost('wget', '-qO-', `http://192.168.77.1:${port}`)).toBe(`${spec.taskName}\n`);
  }
  const client = specs[0]?.taskId ?? '';
  const { containerId } = tasks.task(client) ?? { containerId: '' };
  const { out } = await host.exec(
    containerId,
    'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do wget -qO- http://web; done',
  );
  expect(new Set(out.trim().split('\n'))).toEqual(new Set(specs.map(({ taskName }) => taskName)));
  for (const { taskId } of specs) await tasks.removeTask(taskId);
  network.applyTables([]);
});
