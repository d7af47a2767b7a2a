import { expect, test } from 'vitest';
import { DecideCluster, webSpec } from '../../test/sim/decide-cluster.ts';
import { addVolume, mounting, withDriver } from '../../test/sim/pretended-storage.ts';
import type { ClusterVolumeSpec, NodeId, ServiceId } from '../model/index.ts';
import { explainPlacement } from './explain-placement.ts';

function clusterOf(size: number): {
  readonly cluster: DecideCluster;
  readonly nodes: readonly NodeId[];
} {
  const cluster = new DecideCluster({ nodes: size });
  const nodes = [...cluster.tables.list('node')].map(({ id }) => withDriver(cluster, id));
  return { cluster, nodes };
}

function service(
  cluster: DecideCluster,
  source: string,
  more: { readonly replicas?: number; readonly readOnly?: boolean; readonly name?: string } = {},
): ServiceId {
  const { replicas = 1, readOnly = false, name = 'web' } = more;
  const id = cluster.createService(
    webSpec({ Name: name, replicas, TaskTemplate: mounting(source, readOnly) }),
  );
  cluster.settle();
  return id;
}

const placed = (cluster: DecideCluster, id: ServiceId): number =>
  cluster.runnable(id).filter(({ nodeId }) => nodeId !== undefined).length;

function suggestions(cluster: DecideCluster, id: ServiceId): readonly string[] {
  const [waiting] = cluster.runnable(id).filter(({ nodeId }) => nodeId === undefined);
  if (!waiting) throw new Error('none waits');
  return (explainPlacement(cluster.tables, waiting, cluster.now)?.suggestions ?? []).map(
    ({ text }) => text,
  );
}

test.each<[string, ClusterVolumeSpec['AccessMode'], { writers: number; readers: number }]>([
  ['single none', { Scope: 'single', Sharing: 'none' }, { writers: 1, readers: 0 }],
  ['single all', { Scope: 'single', Sharing: 'all' }, { writers: 3, readers: 3 }],
  ['single onewriter', { Scope: 'single', Sharing: 'onewriter' }, { writers: 1, readers: 3 }],
  ['multi readonly', { Scope: 'multi', Sharing: 'readonly' }, { writers: 0, readers: 3 }],
  ['multi onewriter', { Scope: 'multi', Sharing: 'onewriter' }, { writers: 1, readers: 3 }],
  ['multi all', { Scope: 'multi', Sharing: 'all' }, { writers: 3, readers: 3 }],
])('scope and sharing %s', (name, AccessMode, expected) => {
  const { cluster } = clusterOf(3);
  addVolume(cluster, 'data', { AccessMode });
  const writers = service(cluster, 'data', { replicas: 3, name: 'writers' });
  const readers = service(cluster, 'data', { replicas: 3, name: 'readers', readOnly: true });
  expect({ writers: placed(cluster, writers), readers: placed(cluster, readers) }).toEqual(
    expected,
  );
  const used = [...cluster.runnable(writers), ...cluster.runnable(readers)].flatMap(
    ({ nodeId }) => nodeId ?? [],
  );
  if (name.startsWith('single')) expect(new Set(used).size).toBe(1);
  for (const { nodeId, volumes } of cluster.runnable(writers)) {
    if (nodeId !== undefined)
      expect(volumes).toMatchObject([{ source: 'data', target: '/data', readOnly: false }]);
  }
});

test('a task that ends makes room for the one that waits for its volume', () => {
  const { cluster } = clusterOf(2);
  addVolume(cluster, 'data');
  const one = service(cluster, 'data', { name: 'one' });
  const two = service(cluster, 'data', { name: 'two' });
  expect(placed(cluster, two)).toBe(0);
  expect(suggestions(cluster, two)).toEqual([
    `stop one.1.${cluster.runnable(one)[0]?.id}, which uses volume data: 2 nodes would fit`,
  ]);
  cluster.updateService(one, (spec) => ({ ...spec, Mode: { Replicated: { Replicas: 0 } } }));
  cluster.converge();
  expect(placed(cluster, two)).toBe(1);
});

test('the volume must exist, be made, be active and reachable, and its driver on the node', () => {
  const { cluster, nodes } = clusterOf(2);
  withDriver(cluster, nodes[0] as NodeId, { topology: { zone: 'a' } });
  withDriver(cluster, nodes[1] as NodeId, { topology: { zone: 'b' } });
  const says = (source: string): readonly string[] =>
    suggestions(cluster, service(cluster, source, { name: source.replace(':', '-') }));
  expect(says('none')).toEqual(['create volume none: 2 nodes would fit']);
  expect(says('group:none')).toEqual(['create another volume of group none: 2 nodes would fit']);
  addVolume(cluster, 'young', {}, { info: undefined });
  expect(says('young')).toEqual(['have volume young created by its driver: 2 nodes would fit']);
  addVolume(cluster, 'paused', { Availability: 'pause' });
  expect(says('paused')).toEqual(['make volume paused active: 2 nodes would fit']);
  const info = { handle: 'h', capacityBytes: 0, context: {}, topology: [{ zone: 'b' }] };
  addVolume(cluster, 'far', {}, { info });
  const far = service(cluster, 'far', { name: 'far' });
  expect(cluster.runnable(far).map(({ nodeId }) => nodeId)).toEqual([nodes[1]]);
  addVolume(cluster, 'elsewhere', {}, { info: { ...info, topology: [{ zone: 'c' }] } });
  expect(says('elsewhere')).toEqual([]);
  addVolume(cluster, 'nfs', {});
  for (const id of nodes) withDriver(cluster, id, { name: 'other' });
  expect(says('nfs')).toEqual(['start CSI driver disk on any of these nodes']);
});

test('tasks get different volumes of a group, and a node no more than its driver can attach', () => {
  const { cluster, nodes } = clusterOf(1);
  withDriver(cluster, nodes[0] as NodeId, { volumesMax: 2 });
  for (const name of ['c', 'a', 'b']) addVolume(cluster, name, { Group: 'pool' });
  const pooled = service(cluster, 'group:pool', { replicas: 3 });
  const used = cluster
    .runnable(pooled)
    .flatMap(
      ({ volumes }) =>
        volumes?.map(({ volumeId }) => cluster.tables.get('volume', volumeId)?.spec.Name) ?? [],
    );
  expect(used.toSorted()).toEqual(['a', 'b']);
  expect(suggestions(cluster, pooled)).toEqual([
    expect.stringMatching(/^free a volume of driver disk on /),
  ]);
});

test('a volume that several tasks of a node share counts once, and volumes of the same pass count', () => {
  const { cluster, nodes } = clusterOf(1);
  withDriver(cluster, nodes[0] as NodeId, { volumesMax: 2 });
  for (const name of ['a', 'b']) {
    addVolume(cluster, name, { AccessMode: { Scope: 'single', Sharing: 'all' } });
  }
  addVolume(cluster, 'c');
  const shared = service(cluster, 'a', { replicas: 3 });
  const [second, third] = ['b', 'c'].map((source) => {
    const template = mounting(source, false);
    return cluster.createService(webSpec({ Name: source, replicas: 1, TaskTemplate: template }));
  }) as [ServiceId, ServiceId];
  cluster.settle();
  expect([shared, second, third].map((id) => placed(cluster, id))).toEqual([3, 1, 0]);
});
