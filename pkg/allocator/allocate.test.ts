import { expect, test } from 'vitest';
import { DecideCluster, webSpec, withReplicas } from '../../test/sim/decide-cluster.ts';
import { checkPortConflict, type ServiceSpec, updateObject } from '../model/index.ts';

function publishing(Name: string, PublishedPort: number): ServiceSpec {
  return {
    ...webSpec({ replicas: 1 }),
    Name,
    EndpointSpec: { Ports: [{ TargetPort: 80, PublishedPort }] },
  };
}

test('the ingress network gets the first block of the pool, the next one the next block', () => {
  const cluster = new DecideCluster();
  const app = cluster.addNetwork({ Name: 'app' });
  cluster.settle();
  const [ingress] = cluster.tables.list('network');
  expect(ingress).toMatchObject({
    subnets: [
      { subnet: '10.0.0.0/20', gateway: '10.0.0.1' },
      {
        subnet: expect.stringMatching(/^fd.*::\/64$/),
        gateway: expect.stringMatching(/^fd.*::1$/),
      },
    ],
    vni: 4096,
  });
  expect(cluster.tables.get('network', app.id)).toMatchObject({
    subnets: [{ subnet: '10.0.16.0/20', gateway: '10.0.16.1' }],
    vni: 4097,
  });
});

test('a subnet named by the user is taken, with its gateway, and skipped by later ones', () => {
  const cluster = new DecideCluster();
  const own = cluster.addNetwork({
    Name: 'own',
    IPAM: { Config: [{ Subnet: '10.0.16.0/24', Gateway: '10.0.16.9' }] },
  });
  const next = cluster.addNetwork({ Name: 'next' });
  cluster.settle();
  expect(cluster.tables.get('network', own.id)?.subnets).toEqual([
    { subnet: '10.0.16.0/24', gateway: '10.0.16.9' },
  ]);
  expect(cluster.tables.get('network', next.id)?.subnets[0]?.subnet).toBe('10.0.32.0/20');
});

test('an overlapping subnet is not allocated and its tasks say so once', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  cluster.settle();
  const bad = cluster.addNetwork({ Name: 'bad', IPAM: { Config: [{ Subnet: '10.0.0.0/24' }] } });
  const web = cluster.createService(webSpec({ replicas: 1, Networks: [{ Target: bad.id }] }));
  cluster.settle();
  expect(cluster.tasks(web)[0]?.status).toMatchObject({
    state: 'new',
    error: 'network bad has no subnet yet',
  });
  cluster.elect();
  expect(cluster.pass()).toEqual([]);
});

test('a service on a network gets one virtual address, its tasks one address each', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const app = cluster.addNetwork({ Name: 'app' });
  const web = cluster.createService(
    webSpec({ Networks: [{ Target: app.id, Aliases: ['front'] }] }),
  );
  cluster.settle();
  expect(cluster.service(web).endpoint.virtualIps).toEqual([
    { networkId: app.id, address: '10.0.16.2/20' },
  ]);
  expect(cluster.tasks(web).map((task) => task.networks)).toEqual(
    ['10.0.16.3/20', '10.0.16.4/20', '10.0.16.5/20'].map((address) => [
      { networkId: app.id, addresses: [address], aliases: ['front'] },
    ]),
  );
});

test('dnsrr services have no virtual address', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const app = cluster.addNetwork({ Name: 'app' });
  const spec = webSpec({ Networks: [{ Target: app.id }], EndpointSpec: { Mode: 'dnsrr' } });
  const web = cluster.createService(spec);
  cluster.settle();
  expect(cluster.service(web).endpoint.virtualIps).toEqual([]);
});

test('publishing a port joins the ingress network; without a wish the port comes from 30000 up', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const first = cluster.createService(publishing('a', 0));
  const second = cluster.createService(publishing('b', 0));
  cluster.settle();
  const published = [first, second].map(
    (id) => cluster.service(id).endpoint.ports[0]?.publishedPort,
  );
  expect(published).toEqual([30_000, 30_001]);
  const [ingress] = cluster.tables.list('network');
  expect(cluster.tasks(first)[0]?.networks[0]?.networkId).toBe(ingress?.id);
  expect(cluster.service(first).endpoint.virtualIps[0]?.networkId).toBe(ingress?.id);
});

test('a chosen port is kept by an update and freed by removal', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const first = cluster.createService(publishing('a', 0));
  cluster.settle();
  cluster.updateService(first, (spec) => withReplicas(spec, 2));
  cluster.settle();
  expect(cluster.service(first).endpoint.ports[0]?.publishedPort).toBe(30_000);
  cluster.removeService(first);
  const second = cluster.createService(publishing('b', 0));
  cluster.settle();
  expect(cluster.service(second).endpoint.ports[0]?.publishedPort).toBe(30_000);
});

test('the second service to want a port is refused in Docker’s words, and waits if it got in', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const first = cluster.createService(publishing('a', 8080));
  cluster.settle();
  const text = `port '8080' is already in use by service 'a' (${first}) as an ingress port`;
  expect(() => checkPortConflict(cluster.tables, publishing('b', 8080), undefined)).toThrow(text);
  expect(() => checkPortConflict(cluster.tables, publishing('a', 8080), first)).not.toThrow();
  const second = cluster.createService(publishing('b', 8080));
  cluster.settle();
  expect(cluster.tasks(second)[0]?.status).toMatchObject({ state: 'new', error: text });
  cluster.removeService(first);
  cluster.settle();
  expect(cluster.tasks(second)[0]?.status.state).toBe('assigned');
});

test('every node gets an address of its own in the ingress network', () => {
  const cluster = new DecideCluster({ nodes: 3 });
  cluster.settle();
  const addresses = [...cluster.tables.list('node')].map(({ ingressAddress }) => ingressAddress);
  expect(addresses).toEqual(['10.0.0.2/20', '10.0.0.3/20', '10.0.0.4/20']);
});

test('an address just freed is not the next to be given', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const app = cluster.addNetwork({ Name: 'app' });
  const web = cluster.createService(webSpec({ replicas: 1, Networks: [{ Target: app.id }] }));
  cluster.converge();
  const [task] = cluster.tasks(web);
  if (!task) throw new Error('no task');
  cluster.report(task.id, 'failed');
  cluster.settle();
  expect(cluster.runnable(web)[0]?.networks[0]?.addresses).toEqual(['10.0.16.4/20']);
});

test('a full subnet leaves the rest of the tasks waiting with a reason, and serves them later', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const tiny = cluster.addNetwork({ Name: 'tiny', IPAM: { Config: [{ Subnet: '10.9.0.0/29' }] } });
  const web = cluster.createService(webSpec({ replicas: 6, Networks: [{ Target: tiny.id }] }));
  cluster.converge();
  expect(cluster.running(web).length).toBe(4);
  const waiting = cluster.tasks(web).filter((task) => task.status.state === 'new');
  expect(waiting.map((task) => task.status.error)).toEqual([
    'no address left in network tiny',
    'no address left in network tiny',
  ]);
  cluster.updateService(web, (spec) => withReplicas(spec, 4));
  cluster.converge();
  expect(cluster.running(web).length).toBe(4);
});

test('networks that every host has for itself are not allocated', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const web = cluster.createService(webSpec({ Networks: [{ Target: 'host' }] }));
  cluster.converge();
  expect(cluster.running(web).length).toBe(3);
  expect(cluster.tasks(web)[0]?.networks).toEqual([]);
});

test('host-mode ports are the user’s: nothing is chosen for them, and a change of them is taken over', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const host = (PublishedPort: number): ServiceSpec => ({
    ...webSpec({ replicas: 1 }),
    EndpointSpec: { Ports: [{ TargetPort: 80, PublishedPort, PublishMode: 'host' }] },
  });
  const web = cluster.createService(host(0));
  cluster.settle();
  const ports = (): readonly number[] =>
    cluster.service(web).endpoint.ports.map(({ publishedPort }) => publishedPort);
  expect(ports()).toEqual([0]);
  cluster.updateService(web, () => host(8080));
  cluster.settle();
  expect(ports()).toEqual([8080]);
  expect(cluster.service(web).endpoint.virtualIps).toEqual([]);
  cluster.updateService(web, (spec) => ({ ...spec, EndpointSpec: {} }));
  cluster.settle();
  expect(ports()).toEqual([]);
});

test('tasks of an IPv6 network get an address of each family, and give both back', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const app = cluster.addNetwork({
    Name: 'app',
    EnableIPv6: true,
    IPAM: { Config: [{ Subnet: 'fd00:5::/125', Gateway: 'fd00:5::5' }] },
  });
  const spec = (replicas: number): ServiceSpec =>
    webSpec({
      replicas,
      Networks: [{ Target: app.id }],
      EndpointSpec: { Mode: 'dnsrr' },
    });
  const web = cluster.createService(spec(2));
  cluster.settle();
  expect(cluster.tables.get('network', app.id)?.subnets).toEqual([
    { subnet: '10.0.16.0/20', gateway: '10.0.16.1' },
    { subnet: 'fd00:5::/125', gateway: 'fd00:5::5' },
  ]);
  const addresses = (): readonly string[] =>
    cluster.tasks(web).flatMap(({ networks }) => networks.flatMap((net) => net.addresses));
  expect(addresses().toSorted()).toEqual([
    '10.0.16.2/20',
    '10.0.16.3/20',
    'fd00:5::1/125',
    'fd00:5::2/125',
  ]);
  // fd00:5::5 is the gateway: three are left, so the fourth of the next tasks finds none, and takes no IPv4 one either.
  const more = cluster.createService({ ...spec(5), Name: 'more' });
  cluster.settle();
  const waiting = cluster.tasks(more).filter(({ status }) => status.state === 'new');
  expect(waiting).toHaveLength(1);
  expect(waiting[0]?.status.error).toBe('no address left in network app');
  const ipv4 = [...cluster.tasks(more), ...cluster.tasks(web)].flatMap(({ networks }) =>
    networks.flatMap((net) => net.addresses.filter((address) => !address.includes(':'))),
  );
  expect(new Set(ipv4).size).toBe(6);
});

test('a service on an IPv6 network has a virtual address of each family, and keeps both', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const app = cluster.addNetwork({
    Name: 'app',
    EnableIPv6: true,
    IPAM: { Config: [{ Subnet: 'fd00:5::/64' }] },
  });
  const web = cluster.createService(webSpec({ replicas: 1, Networks: [{ Target: app.id }] }));
  cluster.settle();
  const virtualIps = [
    { networkId: app.id, address: '10.0.16.2/20' },
    { networkId: app.id, address: 'fd00:5::2/64' },
  ];
  expect(cluster.service(web).endpoint.virtualIps).toEqual(virtualIps);
  // One that was made when there were only those of IPv4 gets the other with its next change.
  const before = cluster.service(web);
  const endpoint = { ...before.endpoint, virtualIps: virtualIps.slice(0, 1) };
  cluster.apply([updateObject('service', { ...before, endpoint, allocatedVersion: undefined })]);
  cluster.settle();
  expect(cluster.service(web).endpoint.virtualIps[0]).toEqual(virtualIps[0]);
  expect(cluster.service(web).endpoint.virtualIps[1]?.address).toMatch(/^fd00:5::/);
});
