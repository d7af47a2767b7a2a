import type { Logger } from '../io/index.ts';
import {
  type DraftTables,
  errorMessage,
  type NodeId,
  type Secret,
  updateObject,
  type View,
  type Volume,
  type VolumeId,
  volumeSecret,
} from '../model/index.ts';
import type { VolumeAssignment, VolumeStatusReport } from '../rpc/index.ts';
import type { Store } from '../store/index.ts';

/** Cluster volumes that are on the node or leave it; `secrets` gets what they need. */
export function volumesOfNode(
  view: View,
  nodeId: NodeId,
  secrets: Map<string, Secret>,
): ReadonlyMap<VolumeId, VolumeAssignment> {
  const found = new Map<VolumeId, VolumeAssignment>();
  for (const volume of view.list('volume')) {
    const assignment = assignmentOf(view, volume, nodeId);
    if (!assignment) continue;
    found.set(volume.id, assignment);
    for (const id of Object.values(assignment.secrets)) {
      const secret = view.get('secret', id as Secret['id']);
      if (secret) secrets.set(id, secret);
    }
  }
  return found;
}

function assignmentOf(view: View, volume: Volume, nodeId: NodeId): VolumeAssignment | undefined {
  const { id, spec, info } = volume;
  const publication = volume.publications.find((one) => one.nodeId === nodeId);
  if (!info || !publication) return undefined;
  const leaving = publication.state === 'pending-node-unpublish';
  if (!leaving && publication.state !== 'published') return undefined;
  const secrets = (spec.ClusterVolumeSpec.Secrets ?? []).flatMap(({ Key, Secret }) => {
    const secret = volumeSecret(view, Secret);
    return secret ? [[Key, secret.id] as const] : [];
  });
  return {
    id,
    spec,
    handle: info.handle,
    context: info.context,
    publishContext: publication.context ?? {},
    secrets: Object.fromEntries(secrets),
    leaving,
  };
}

/** What an agent says of cluster volumes. It says it again until its assignments show that it was written. */
export async function recordVolumeReport(
  { store, log }: { readonly store: Pick<Store, 'update'>; readonly log: Logger },
  nodeId: NodeId,
  statuses: readonly VolumeStatusReport[],
): Promise<void> {
  try {
    await store.update((draft) => applyReports(draft, nodeId, statuses), { asLeader: true });
  } catch (error) {
    log.warn('report of volumes not written', { node: nodeId, error: errorMessage(error) });
  }
}

function applyReports(
  draft: DraftTables,
  nodeId: NodeId,
  statuses: readonly VolumeStatusReport[],
): void {
  for (const { volumeId, gone, error } of statuses) {
    const volume = draft.get('volume', volumeId);
    const publication = volume?.publications.find((one) => one.nodeId === nodeId);
    if (!volume || !publication) continue;
    const left = gone && publication.state === 'pending-node-unpublish';
    if (!left && publication.error === error) continue;
    const state = left ? 'pending-controller-unpublish' : publication.state;
    const next = { ...publication, error, state };
    const publications = volume.publications.map((one) => (one === publication ? next : one));
    draft.add(updateObject('volume', { ...volume, publications }));
  }
}
