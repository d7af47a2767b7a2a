import {
  type Change,
  inSteps,
  isOnOneNode,
  isRunnable,
  type NodeId,
  type Task,
  updateObject,
  type View,
  type Volume,
  type VolumeId,
  type VolumePublication,
  volumeAvailability,
  volumeHolders,
} from '../model/index.ts';

const VOLUMES_PER_STEP = 50;
/** Docker's text. */
const DRAINED = 'attached to volume which is being drained';

/**
 * On which nodes each cluster volume shall be: where a task holds it, and nowhere else. A volume leaves a node in two
 * steps, the agent's and the driver's; one that may be on a single node comes to another only after both. Tasks of a
 * volume that is drained are stopped.
 */
export const decideVolumes = inSteps(function* decideVolumes({ view, dirty }) {
  const changes: Change[] = [];
  let seen = 0;
  for (const id of dirty.nodes.size > 0 ? allVolumes(view) : dirty.volumes) {
    if (++seen % VOLUMES_PER_STEP === 0) yield;
    const volume = view.get('volume', id);
    if (volume) changes.push(...decideVolume(view, volume));
  }
  return { changes };
});

function decideVolume(view: View, volume: Volume): readonly Change[] {
  const holders = volumeHolders(view, volume.id);
  const drained = volumeAvailability(volume) === 'drain' ? holders.filter(isRunnable) : [];
  const publications = nextPublications(view, volume, holders);
  return [
    ...drained.map(stopped),
    ...(publications ? [updateObject('volume', { ...volume, publications })] : []),
  ];
}

function allVolumes(view: View): readonly VolumeId[] {
  return [...view.list('volume')].map(({ id }) => id);
}

function stopped(task: Task): Change {
  const status = { ...task.status, error: DRAINED };
  return updateObject('task', { ...task, desiredState: 'shutdown', status });
}

/** Undefined when nothing changes. */
function nextPublications(
  view: View,
  volume: Volume,
  holders: readonly Task[],
): readonly VolumePublication[] | undefined {
  const wanted = new Set(holders.flatMap(({ nodeId }) => nodeId ?? []));
  const kept = volume.publications.map((one) => stepDown(view, one, wanted));
  const moved = kept.some((one, at) => one !== volume.publications[at]);
  const added = newPublications(view, volume, wanted);
  return moved || added.length > 0 ? [...kept, ...added] : undefined;
}

/** The agent lets go first; of a node that is gone nobody is left to. */
function stepDown(
  view: View,
  publication: VolumePublication,
  wanted: ReadonlySet<NodeId>,
): VolumePublication {
  const { nodeId, state } = publication;
  const gone = view.get('node', nodeId) === undefined;
  if (state === 'pending-controller-unpublish') return publication;
  if (!gone && (wanted.has(nodeId) || state === 'pending-node-unpublish')) return publication;
  const next =
    gone || state === 'pending-publish' ? 'pending-controller-unpublish' : 'pending-node-unpublish';
  return { ...publication, state: next, error: undefined };
}

function newPublications(
  view: View,
  volume: Volume,
  wanted: ReadonlySet<NodeId>,
): readonly VolumePublication[] {
  const { info, publications, spec } = volume;
  if (!info) return [];
  const added: VolumePublication[] = [];
  for (const nodeId of wanted) {
    if (publications.some((one) => one.nodeId === nodeId)) continue;
    const occupied = publications.length + added.length > 0;
    if (occupied && isOnOneNode(volume)) continue;
    const drivers = view.get('node', nodeId)?.description?.csi ?? [];
    const driver = drivers.find(({ name }) => name === spec.Driver);
    if (driver) added.push({ nodeId, driverNodeId: driver.nodeId, state: 'pending-publish' });
  }
  return added;
}
