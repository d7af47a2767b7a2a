import { expect, test } from 'vitest';
import { DecideCluster, webSpec } from '../../test/sim/decide-cluster.ts';
import {
  addVolume,
  getVolume,
  mounting,
  publications,
  serveAll,
  serveVolume,
  withDriver,
} from '../../test/sim/pretended-storage.ts';
import {
  type NodeId,
  removeObject,
  type ServiceId,
  updateObject,
  type VolumeId,
} from '../model/index.ts';

interface Setup {
  readonly cluster: DecideCluster;
  readonly nodes: readonly NodeId[];
  readonly volume: VolumeId;
  readonly web: ServiceId;
}

/** A service with one task and its volume, of which both are on the first node. */
function setup(scope: 'single' | 'multi' = 'single'): Setup {
  const cluster = new DecideCluster({ nodes: 2 });
  const nodes = [...cluster.tables.list('node')].map(({ id }) => withDriver(cluster, id));
  const volume = addVolume(cluster, 'data', { AccessMode: { Scope: scope, Sharing: 'all' } });
  const web = cluster.createService(webSpec({ replicas: 1, TaskTemplate: mounting('data') }));
  cluster.settle();
  return { cluster, nodes, volume, web };
}

function drain(cluster: DecideCluster, id: NodeId): void {
  cluster.setNode(id, (node) => ({ ...node, spec: { ...node.spec, Availability: 'drain' } }));
}

test('a volume is published where its task is placed, with the name that the driver gave the node', () => {
  const { cluster, nodes, volume } = setup();
  expect(getVolume(cluster, volume).publications).toEqual([
    { nodeId: nodes[0], driverNodeId: `driver-${nodes[0]}`, state: 'pending-publish' },
  ]);
  serveAll(cluster, volume);
  expect(publications(cluster, volume)).toEqual([`${nodes[0]} published`]);
  cluster.elect();
  expect(cluster.pass()).toEqual([]);
});

test('a task that moves waits until the volume has left the old node, agent first, then driver', () => {
  const { cluster, nodes, volume } = setup();
  serveAll(cluster, volume);
  drain(cluster, nodes[0] as NodeId);
  cluster.converge();
  const seen: string[] = [];
  do {
    seen.push(publications(cluster, volume).join());
    cluster.converge();
  } while (serveVolume(cluster, volume));
  expect(seen).toEqual([
    `${nodes[0]} pending-node-unpublish`,
    `${nodes[0]} pending-controller-unpublish`,
    '',
    `${nodes[1]} published`,
  ]);
});

test('a volume for many nodes goes to the next before it has left the last', () => {
  const { cluster, nodes, volume } = setup('multi');
  serveAll(cluster, volume);
  drain(cluster, nodes[0] as NodeId);
  cluster.converge();
  expect(publications(cluster, volume)).toEqual([
    `${nodes[0]} pending-node-unpublish`,
    `${nodes[1]} pending-publish`,
  ]);
});

test('a node that is down keeps its volume until it is removed: its task may still write', () => {
  const { cluster, nodes, volume, web } = setup();
  serveAll(cluster, volume);
  const [first, second] = nodes as [NodeId, NodeId];
  cluster.setNode(first, (node) => ({ ...node, status: { ...node.status, state: 'down' } }));
  serveAll(cluster, volume);
  expect(publications(cluster, volume)).toEqual([`${first} published`]);
  expect(cluster.runnable(web).map(({ status }) => status.error)).toEqual([
    'no suitable node (1 node not available for new tasks; cannot fulfill requested CSI volume mounts on 1 node)',
  ]);
  const node = cluster.tables.get('node', first);
  if (node) cluster.apply([removeObject('node', node)]);
  serveAll(cluster, volume);
  expect(publications(cluster, volume)).toEqual([`${second} published`]);
  expect(cluster.running(web)).toHaveLength(1);
});

test('nothing is published for a task that ended before it was; what may have begun is undone', () => {
  const { cluster, nodes, volume, web } = setup();
  cluster.apply([removeObject('service', cluster.service(web))]);
  cluster.converge();
  expect(publications(cluster, volume)).toEqual([`${nodes[0]} pending-controller-unpublish`]);
  serveAll(cluster, volume);
  expect(publications(cluster, volume)).toEqual([]);
});

test('tasks of a drained volume are stopped and wait; a paused one keeps what it has and gets nothing new', () => {
  const { cluster, volume, web } = setup();
  serveAll(cluster, volume);
  const set = (Availability: 'active' | 'pause' | 'drain'): void => {
    const before = getVolume(cluster, volume);
    const ClusterVolumeSpec = { ...before.spec.ClusterVolumeSpec, Availability };
    const after = { ...before, spec: { ...before.spec, ClusterVolumeSpec } };
    cluster.apply([updateObject('volume', after)]);
    serveAll(cluster, volume);
  };
  set('pause');
  expect(cluster.running(web)).toHaveLength(1);
  cluster.updateService(web, (spec) => ({ ...spec, Mode: { Replicated: { Replicas: 2 } } }));
  serveAll(cluster, volume);
  expect(cluster.running(web)).toHaveLength(1);
  set('drain');
  expect(cluster.running(web)).toHaveLength(0);
  expect(publications(cluster, volume)).toEqual([]);
  expect(
    cluster
      .tasks(web)
      .some(({ status }) => status.error === 'attached to volume which is being drained'),
  ).toBe(true);
  set('active');
  expect(cluster.running(web)).toHaveLength(2);
});
