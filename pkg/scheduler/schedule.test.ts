import { expect, test } from 'vitest';
import { DecideCluster, webSpec, withImage, withReplicas } from '../../test/sim/decide-cluster.ts';
import type { Node, NodeId, PortSpec, ServiceId, TaskTemplateSpec } from '../model/index.ts';

function template(change: Partial<TaskTemplateSpec>): TaskTemplateSpec {
  return { ContainerSpec: { Image: 'nginx' }, ...change };
}

function labelled(cluster: DecideCluster, Labels: Record<string, string>): NodeId {
  return cluster.addNode({ spec: { Role: 'worker', Availability: 'active', Labels } }).id;
}

function perNode(cluster: DecideCluster, id: ServiceId): readonly number[] {
  const counts = new Map([...cluster.tables.list('node')].map((node) => [node.id, 0]));
  for (const { nodeId } of cluster.runnable(id)) {
    if (nodeId !== undefined) counts.set(nodeId, (counts.get(nodeId) ?? 0) + 1);
  }
  return [...counts.values()];
}

function errors(cluster: DecideCluster, id: ServiceId): readonly (string | undefined)[] {
  return cluster.tasks(id).map((task) => task.status.error);
}

test('tasks of a service spread evenly, then over the least busy nodes', () => {
  const cluster = new DecideCluster({ nodes: 3 });
  const other = cluster.createService(webSpec({ Name: 'other', replicas: 1 }));
  cluster.settle();
  const web = cluster.createService(webSpec({ replicas: 5 }));
  cluster.settle();
  expect(perNode(cluster, other)).toEqual([1, 0, 0]);
  expect(perNode(cluster, web)).toEqual([1, 2, 2]);
});

test('a task that fits nowhere says why, as Docker does, and only once', () => {
  const cluster = new DecideCluster();
  labelled(cluster, { zone: 'a' });
  labelled(cluster, { zone: 'b' });
  labelled(cluster, { zone: 'b' });
  const web = cluster.createService(
    webSpec({
      replicas: 1,
      TaskTemplate: template({
        Placement: { Constraints: ['node.labels.zone == a'] },
        Resources: { Reservations: { NanoCPUs: 2e9 } },
      }),
    }),
  );
  cluster.setNode([...cluster.tables.list('node')][0]?.id as NodeId, (node) => ({
    ...node,
    description: node.description && { ...node.description, nanoCpus: 1e9 },
  }));
  cluster.settle();
  expect(errors(cluster, web)).toEqual([
    'no suitable node (scheduling constraints not satisfied on 2 nodes; insufficient resources on 1 node)',
  ]);
  cluster.elect();
  expect(cluster.pass()).toEqual([]);
});

test.each([
  [
    '1 node not available for new tasks',
    (node: Node): Node => ({ ...node, spec: { ...node.spec, Availability: 'drain' } }),
    {},
  ],
  [
    'unsupported platform on 1 node',
    undefined,
    { Placement: { Platforms: [{ OS: 'linux', Architecture: 'arm64' }] } },
  ],
  [
    'insufficient resources on 1 node',
    undefined,
    { Resources: { Reservations: { MemoryBytes: 2 ** 40 } } },
  ],
  [
    'insufficient gpu on 1 node',
    undefined,
    {
      Resources: {
        Reservations: { GenericResources: [{ DiscreteResourceSpec: { Kind: 'gpu', Value: 1 } }] },
      },
    },
  ],
  [
    'missing plugin on 1 node',
    (node: Node): Node => ({
      ...node,
      description: node.description && {
        ...node.description,
        plugins: [{ type: 'Log', name: 'json-file' }],
      },
    }),
    { LogDriver: { Name: 'splunk' } },
  ],
  [
    'cannot fulfill requested CSI volume mounts on 1 node',
    undefined,
    { ContainerSpec: { Image: 'nginx', Mounts: [{ Type: 'cluster', Source: 'v', Target: '/v' }] } },
  ],
])('refused: %s', (reason, change, part) => {
  const cluster = new DecideCluster({ nodes: 1 });
  const [node] = cluster.tables.list('node');
  if (node && change) cluster.setNode(node.id, change);
  const web = cluster.createService(webSpec({ replicas: 1, TaskTemplate: template(part) }));
  cluster.settle();
  expect(errors(cluster, web)).toEqual([`no suitable node (${reason})`]);
});

test('without nodes there is no reason to give', () => {
  const cluster = new DecideCluster();
  const web = cluster.createService(webSpec({ replicas: 1 }));
  cluster.settle();
  expect(errors(cluster, web)).toEqual(['no suitable node']);
});

test('a waiting task is placed as soon as a node can take it', () => {
  const cluster = new DecideCluster();
  const web = cluster.createService(webSpec({ replicas: 1 }));
  cluster.settle();
  cluster.addNode();
  cluster.settle();
  expect(cluster.tasks(web)[0]?.status).toMatchObject({ state: 'assigned' });
  expect(cluster.tasks(web)[0]?.status.error).toBeUndefined();
});

test('max replicas per node holds the rest back', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const web = cluster.createService(
    webSpec({ replicas: 5, TaskTemplate: template({ Placement: { MaxReplicas: 2 } }) }),
  );
  cluster.settle();
  expect(perNode(cluster, web)).toEqual([2, 2]);
  expect(errors(cluster, web).filter(Boolean)).toEqual([
    'no suitable node (max replicas per node limit exceed)',
  ]);
});

test('a host-mode port fits once on a node, also across services', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const Ports: PortSpec[] = [{ TargetPort: 80, PublishedPort: 8080, PublishMode: 'host' }];
  const web = cluster.createService(webSpec({ replicas: 1, EndpointSpec: { Ports } }));
  const api = cluster.createService(webSpec({ Name: 'api', replicas: 2, EndpointSpec: { Ports } }));
  cluster.settle();
  expect(perNode(cluster, web)).toEqual([1, 0]);
  expect(perNode(cluster, api)).toEqual([0, 1]);
  expect(errors(cluster, api).filter(Boolean)).toEqual([
    'no suitable node (host-mode port already in use on 2 nodes)',
  ]);
});

test('reservations are held until a task is over', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const reserve = template({ Resources: { Reservations: { NanoCPUs: 3e9 } } });
  const web = cluster.createService(webSpec({ replicas: 1, TaskTemplate: reserve }));
  cluster.converge();
  cluster.updateService(web, (spec) => withImage(spec, 'nginx:2'));
  cluster.settle();
  expect(cluster.runnable(web)[0]?.status.state).toBe('pending');
  cluster.converge();
  expect(cluster.running(web).length).toBe(1);
});

test('spread preferences level the branches before the nodes', () => {
  const cluster = new DecideCluster();
  for (const zone of ['a', 'a', 'a', 'b']) labelled(cluster, { zone });
  const web = cluster.createService(
    webSpec({
      replicas: 6,
      TaskTemplate: template({
        Placement: { Preferences: [{ Spread: { SpreadDescriptor: 'node.labels.zone' } }] },
      }),
    }),
  );
  cluster.settle();
  expect(perNode(cluster, web)).toEqual([1, 1, 1, 3]);
});

test('a node where the version keeps failing comes last', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const web = cluster.createService(
    webSpec({ replicas: 1, TaskTemplate: template({ RestartPolicy: { Delay: 0 } }) }),
  );
  cluster.settle();
  const [bad] = cluster.tasks(web);
  const other = [...cluster.tables.list('node')].find((node) => node.id !== bad?.nodeId);
  if (!other) throw new Error('no other node');
  cluster.setAvailability(other.id, 'pause');
  for (let count = 0; count < 5; count++) {
    const [task] = cluster.runnable(web);
    if (task) cluster.report(task.id, 'failed');
    cluster.settle();
    cluster.advance(10_000);
  }
  cluster.setAvailability(other.id, 'active');
  const [last] = cluster.runnable(web);
  if (last) cluster.report(last.id, 'failed');
  cluster.settle();
  cluster.advance(10_000);
  expect(cluster.runnable(web)[0]?.nodeId).toBe(other.id);
});

test('a thousand tasks on fifty nodes are given addresses and placed in one pass', () => {
  const cluster = new DecideCluster({ nodes: 50 });
  const app = cluster.addNetwork({ Name: 'app' });
  cluster.settle();
  const web = cluster.createService(webSpec({ replicas: 1000, Networks: [{ Target: app.id }] }));
  cluster.pass();
  expect(perNode(cluster, web)).toEqual(Array.from({ length: 50 }, () => 20));
  cluster.updateService(web, (spec) => withReplicas(spec, 1));
  cluster.converge();
  expect(cluster.tasks(web).length).toBe(1);
});

const NESTED = ['az', 'rack'].map((label) => ({
  Spread: { SpreadDescriptor: `node.labels.${label}` },
}));

function racks(cluster: DecideCluster): readonly NodeId[] {
  return [
    { az: 'a', rack: '1' },
    { az: 'a', rack: '1' },
    { az: 'a', rack: '2' },
    { az: 'b', rack: '1' },
    { az: 'b', rack: '1' },
    { az: 'b', rack: '1' },
    { az: 'b', rack: '2' },
  ].map((labels) => labelled(cluster, labels));
}

test('nested preferences level zones, then racks, then nodes, also when the service grows', () => {
  const cluster = new DecideCluster();
  racks(cluster);
  const web = cluster.createService(
    webSpec({ replicas: 4, TaskTemplate: template({ Placement: { Preferences: NESTED } }) }),
  );
  cluster.converge();
  const byRack = (): readonly number[] => {
    const [a, b, c, d, e, f, g] = perNode(cluster, web);
    return [(a ?? 0) + (b ?? 0), c ?? 0, (d ?? 0) + (e ?? 0) + (f ?? 0), g ?? 0];
  };
  expect(byRack()).toEqual([1, 1, 1, 1]);
  cluster.updateService(web, (spec) => withReplicas(spec, 12));
  cluster.converge();
  expect(byRack()).toEqual([3, 3, 3, 3]);
  expect(perNode(cluster, web).slice(3, 6)).toEqual([1, 1, 1]);
});

test('failures of an older version do not count against the new one', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const [bad] = cluster.tables.list('node');
  const policy = template({ RestartPolicy: { Delay: 0 } });
  const web = cluster.createService(webSpec({ replicas: 1, TaskTemplate: policy }));
  cluster.settle();
  for (let count = 0; count < 6; count++) {
    const [task] = cluster.runnable(web);
    if (task) cluster.report(task.id, 'failed');
    cluster.settle();
    cluster.advance(10_000);
  }
  const other = cluster.createService(webSpec({ Name: 'other', replicas: 3 }));
  cluster.settle();
  const good = cluster.addNode();
  cluster.createService(webSpec({ Name: 'more', replicas: 5 }));
  cluster.settle();
  cluster.setAvailability(bad?.id as NodeId, 'active');
  const [present] = cluster.runnable(web);
  if (present) cluster.report(present.id, 'failed');
  cluster.settle();
  cluster.advance(10_000);
  expect(cluster.runnable(web)[0]?.nodeId).toBe(good.id);
  cluster.removeService(other);
  cluster.converge();
  cluster.updateService(web, (spec) => withImage(spec, 'nginx:2'));
  cluster.converge();
  expect(cluster.running(web)[0]?.nodeId).toBe(bad?.id);
});

test('what reservations leave is spread like the rest', () => {
  const cluster = new DecideCluster({ nodes: 3 });
  const reserve = template({ Resources: { Reservations: { NanoCPUs: 1e9 } } });
  const web = cluster.createService(webSpec({ replicas: 7, TaskTemplate: reserve }));
  cluster.settle();
  expect([...perNode(cluster, web)].toSorted()).toEqual([2, 2, 3]);
});

test('a task that died gives its reservation back', () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const reserve = template({
    Resources: { Reservations: { NanoCPUs: 3e9 } },
    RestartPolicy: { Condition: 'none' },
  });
  const web = cluster.createService(webSpec({ replicas: 1, TaskTemplate: reserve }));
  cluster.converge();
  const api = cluster.createService(webSpec({ Name: 'api', replicas: 1, TaskTemplate: reserve }));
  cluster.settle();
  expect(cluster.tasks(api)[0]?.status.state).toBe('pending');
  const [task] = cluster.running(web);
  if (task) cluster.report(task.id, 'failed');
  cluster.settle();
  expect(cluster.tasks(api)[0]?.status.state).toBe('assigned');
});

test('a task removed while it waits is forgotten', () => {
  const cluster = new DecideCluster();
  const web = cluster.createService(webSpec({ replicas: 2 }));
  cluster.settle();
  cluster.removeService(web);
  cluster.addNode();
  cluster.settle();
  expect(cluster.tables.count('task')).toBe(0);
});

test('a task that comes with its node is confirmed there or waits, whatever the others offer', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const [small] = cluster.tables.list('node');
  cluster.setNode(small?.id as NodeId, (node) => ({
    ...node,
    description: node.description && { ...node.description, nanoCpus: 1e9 },
  }));
  const reserve = template({ Resources: { Reservations: { NanoCPUs: 2e9 } } });
  const web = cluster.createService({
    ...webSpec({ TaskTemplate: reserve }),
    Mode: { Global: {} },
  });
  cluster.settle();
  expect(
    cluster
      .tasks(web)
      .map(({ status }) => status.state)
      .toSorted(),
  ).toEqual(['assigned', 'pending']);
  expect(cluster.tasks(web).find(({ nodeId }) => nodeId === small?.id)?.status.error).toBe(
    'no suitable node (insufficient resources on 1 node)',
  );
});
