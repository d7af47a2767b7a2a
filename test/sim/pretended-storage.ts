/** Cluster volumes in virtual time: a driver's controller and agents that obey, beside the deciders. */
import {
  type ClusterVolumeSpec,
  createObject,
  type NodeDriver,
  type NodeId,
  nextVolumeWork,
  type ServiceSpec,
  updateObject,
  VERSION_NONE,
  type Volume,
  type VolumeId,
  type VolumePublication,
} from '../../pkg/model/index.ts';
import type { DecideCluster } from './decide-cluster.ts';

const DRIVER = 'disk';

export function withDriver(
  cluster: DecideCluster,
  id: NodeId,
  more: Partial<NodeDriver> = {},
): NodeId {
  const csi = [{ name: DRIVER, nodeId: `driver-${id}`, ...more }];
  cluster.setNode(id, (node) => ({
    ...node,
    description: node.description && { ...node.description, csi },
  }));
  return id;
}

export function addVolume(
  cluster: DecideCluster,
  Name: string,
  spec: ClusterVolumeSpec = {},
  more: Partial<Volume> = {},
): VolumeId {
  const id = cluster.id('v') as VolumeId;
  const volume: Volume = {
    id,
    version: VERSION_NONE,
    createdAt: cluster.now,
    updatedAt: cluster.now,
    spec: {
      Name,
      Driver: DRIVER,
      ClusterVolumeSpec: { ...spec, AccessMode: { MountVolume: {}, ...spec.AccessMode } },
    },
    info: { handle: `handle-${Name}`, capacityBytes: 0, context: {}, topology: [] },
    publications: [],
    ...more,
  };
  cluster.apply([createObject('volume', volume)]);
  return id;
}

/** A task template with one mount of type `cluster`. */
export function mounting(Source: string, ReadOnly = false): ServiceSpec['TaskTemplate'] {
  const Mounts = [{ Type: 'cluster', Source, Target: '/data', ReadOnly }];
  return { ContainerSpec: { Image: 'nginx:1', Mounts } };
}

export function getVolume(cluster: DecideCluster, id: VolumeId): Volume {
  const volume = cluster.tables.get('volume', id);
  if (!volume) throw new Error(`no volume ${id}`);
  return volume;
}

/** `n1 published` and so on. */
export function publications(cluster: DecideCluster, id: VolumeId): readonly string[] {
  return getVolume(cluster, id).publications.map(({ nodeId, state }) => `${nodeId} ${state}`);
}

/** Driver and agents do one thing for the volume; false when there is nothing to do. */
export function serveVolume(cluster: DecideCluster, id: VolumeId): boolean {
  const volume = getVolume(cluster, id);
  const work = nextVolumeWork(volume);
  if (work?.kind === 'publish') return change(cluster, volume, work.publication, 'published');
  if (work?.kind === 'unpublish') return change(cluster, volume, work.publication, undefined);
  const leaving = volume.publications.find(({ state }) => state === 'pending-node-unpublish');
  const node = leaving && cluster.tables.get('node', leaving.nodeId);
  if (!leaving || node?.status.state === 'down') return false;
  return change(cluster, volume, leaving, 'pending-controller-unpublish');
}

/** Until nothing moves. */
export function serveAll(cluster: DecideCluster, id: VolumeId): void {
  cluster.converge();
  while (serveVolume(cluster, id)) cluster.converge();
}

function change(
  cluster: DecideCluster,
  volume: Volume,
  publication: VolumePublication,
  state: VolumePublication['state'] | undefined,
): true {
  const next = volume.publications.flatMap((one) => {
    if (one !== publication) return [one];
    return state ? [{ ...one, state }] : [];
  });
  cluster.apply([updateObject('volume', { ...volume, publications: next })]);
  return true;
}
