import { ClusterError, type NodeDriver, type VolumeSpec, volumeSharing } from '../model/index.ts';
import { volumeCapability } from './capability.ts';
import type { Driver } from './driver.ts';
import { Identity, Node } from './gen/csi.pb.ts';
import { NODE_RPC } from './numbers.ts';

type TextMap = Readonly<Record<string, string>>;

const LOOK_DEADLINE_MS = 3_000;

/** A volume on its way into this host. */
export interface NodeVolume {
  readonly spec: VolumeSpec;
  readonly handle: string;
  readonly context: TextMap;
  /** From the driver's controller. */
  readonly publishContext: TextMap;
  readonly secrets: TextMap;
}

export interface VolumePaths {
  /** A directory, there already. */
  readonly staging: string;
  /** The driver makes it; its parent is there. */
  readonly target: string;
}

/** This host to the driver; undefined while the driver is not ready. */
export async function describeNode(driver: Driver): Promise<NodeDriver | undefined> {
  const quick = { deadlineMs: LOOK_DEADLINE_MS };
  const { ready } = await driver.call(Identity.method.probe, {}, quick);
  if (ready === false) return undefined;
  const { name } = await driver.call(Identity.method.getPluginInfo, {}, quick);
  if (name === '') {
    throw new ClusterError('system', `CSI driver ${driver.name}: GetPluginInfo: it has no name`);
  }
  const info = await driver.call(Node.method.nodeGetInfo, {}, quick);
  const volumesMax = Number(info.maxVolumesPerNode);
  return {
    name: driver.name,
    nodeId: info.nodeId,
    ...(volumesMax > 0 && { volumesMax }),
    ...(info.accessibleTopology && { topology: info.accessibleTopology.segments }),
  };
}

async function stages(driver: Driver): Promise<boolean> {
  const { capabilities } = await driver.call(Node.method.nodeGetCapabilities, {});
  return capabilities.some(({ type }) => type.value?.type === NODE_RPC.stageUnstage);
}

/** The volume is at `target` when this returns; nothing happens when it was. */
export async function bringVolume(
  driver: Driver,
  volume: NodeVolume,
  { staging, target }: VolumePaths,
): Promise<void> {
  const common = {
    volumeId: volume.handle,
    publishContext: { ...volume.publishContext },
    volumeCapability: volumeCapability(volume.spec),
    secrets: { ...volume.secrets },
    volumeContext: { ...volume.context },
  };
  const staged = await stages(driver);
  if (staged) {
    await driver.call(Node.method.nodeStageVolume, { ...common, stagingTargetPath: staging });
  }
  await driver.call(Node.method.nodePublishVolume, {
    ...common,
    ...(staged && { stagingTargetPath: staging }),
    targetPath: target,
    readonly: volumeSharing(volume) === 'readonly',
  });
}

/** Nothing of the volume is at either path when this returns; nothing happens when there was nothing. */
export async function takeVolumeAway(
  driver: Driver,
  handle: string,
  { staging, target }: VolumePaths,
): Promise<void> {
  await driver.call(Node.method.nodeUnpublishVolume, { volumeId: handle, targetPath: target });
  if (await stages(driver)) {
    const request = { volumeId: handle, stagingTargetPath: staging };
    await driver.call(Node.method.nodeUnstageVolume, request);
  }
}
