import type { MessageInitShape } from '@bufbuild/protobuf';
import type { VolumeInfo, VolumeSpec, VolumeTopology } from '../model/index.ts';
import { ClusterError } from '../model/index.ts';
import { volumeCapability } from './capability.ts';
import type { Driver } from './driver.ts';
import { Controller, Identity, type TopologyRequirementSchema } from './gen/csi.pb.ts';
import { CONTROLLER_RPC, PLUGIN_SERVICE } from './numbers.ts';

type TextMap = Readonly<Record<string, string>>;

/** A volume to its driver: the spec, what the driver said of it, and the secrets it needs. */
export interface DriverVolume {
  readonly spec: VolumeSpec;
  readonly secrets: TextMap;
}

export interface MadeVolume extends DriverVolume {
  readonly info: VolumeInfo;
}

const PROBE_DEADLINE_MS = 5_000;

interface Abilities {
  /** It has a controller at all. */
  readonly controls: boolean;
  readonly creates: boolean;
  readonly publishes: boolean;
  /** Its volumes are not reachable from everywhere. */
  readonly hasTopology: boolean;
}

/** Throws `unavailable` while the driver does not answer or is not ready. */
export async function probe(driver: Driver): Promise<void> {
  const { ready } = await driver.call(Identity.method.probe, {}, { deadlineMs: PROBE_DEADLINE_MS });
  if (ready === false) {
    throw new ClusterError('unavailable', `CSI driver ${driver.name} is not ready yet`);
  }
}

async function abilities(driver: Driver): Promise<Abilities> {
  const { capabilities } = await driver.call(Identity.method.getPluginCapabilities, {});
  const services = new Set<number | undefined>(capabilities.map(({ type }) => type.value?.type));
  const controls = services.has(PLUGIN_SERVICE.controller);
  const hasTopology = services.has(PLUGIN_SERVICE.accessibilityConstraints);
  if (!controls) return { controls, creates: false, publishes: false, hasTopology };
  const own = await driver.call(Controller.method.controllerGetCapabilities, {});
  const rpcs = new Set<number | undefined>(own.capabilities.map(({ type }) => type.value?.type));
  return {
    controls,
    hasTopology,
    creates: rpcs.has(CONTROLLER_RPC.createDelete),
    publishes: rpcs.has(CONTROLLER_RPC.publishUnpublish),
  };
}

/**
 * Makes the volume, or finds it made. A driver that makes none is taken to have one of that name, with the volume's
 * options as its context.
 */
export async function createVolume(driver: Driver, volume: DriverVolume): Promise<VolumeInfo> {
  const { spec, secrets } = volume;
  const { creates, controls, hasTopology } = await abilities(driver);
  if (!creates) {
    const context = { ...spec.DriverOpts };
    const info = { handle: spec.Name, capacityBytes: 0, context, topology: [] };
    if (controls) await validate(driver, { ...volume, info });
    return info;
  }
  const { CapacityRange, AccessibilityRequirements } = spec.ClusterVolumeSpec;
  const { volume: made } = await driver.call(Controller.method.createVolume, {
    name: spec.Name,
    ...(CapacityRange && {
      capacityRange: {
        requiredBytes: BigInt(CapacityRange.RequiredBytes ?? 0),
        limitBytes: BigInt(CapacityRange.LimitBytes ?? 0),
      },
    }),
    volumeCapabilities: [volumeCapability(spec)],
    parameters: { ...spec.DriverOpts },
    secrets: { ...secrets },
    ...(hasTopology &&
      AccessibilityRequirements && {
        accessibilityRequirements: topologyRequirement(AccessibilityRequirements),
      }),
  });
  if (!made?.volumeId) {
    throw new ClusterError('system', `CSI driver ${driver.name}: CreateVolume: no volume_id`);
  }
  return {
    handle: made.volumeId,
    capacityBytes: Number(made.capacityBytes),
    context: made.volumeContext,
    topology: made.accessibleTopology.map(({ segments }) => segments),
  };
}

function topologyRequirement({
  Requisite,
  Preferred,
}: NonNullable<VolumeSpec['ClusterVolumeSpec']['AccessibilityRequirements']>): MessageInitShape<
  typeof TopologyRequirementSchema
> {
  return { requisite: places(Requisite), preferred: places(Preferred) };
}

function places(
  list: readonly VolumeTopology[] | null | undefined,
): { readonly segments: Record<string, string> }[] {
  return (list ?? []).map(({ Segments }) => ({ segments: { ...Segments } }));
}

/** A volume that was there before may not be one that tasks can use as asked. */
async function validate(driver: Driver, { spec, info, secrets }: MadeVolume): Promise<void> {
  const { confirmed, message } = await driver.call(Controller.method.validateVolumeCapabilities, {
    volumeId: info.handle,
    volumeContext: { ...info.context },
    volumeCapabilities: [volumeCapability(spec)],
    secrets: { ...secrets },
  });
  if (confirmed) return;
  const reason = message || 'it does not say why';
  throw new ClusterError('invalid', `CSI driver ${driver.name} cannot serve the volume: ${reason}`);
}

/** Deletes the volume, or finds it deleted. */
export async function deleteVolume(driver: Driver, { info, secrets }: MadeVolume): Promise<void> {
  if (!(await abilities(driver)).creates) return;
  await driver.call(Controller.method.deleteVolume, {
    volumeId: info.handle,
    secrets: { ...secrets },
  });
}

/** Makes the volume reachable from a node; returns what the driver's part on the node needs. */
export async function publishVolume(
  driver: Driver,
  { spec, info, secrets }: MadeVolume,
  driverNodeId: string,
): Promise<TextMap> {
  if (!(await abilities(driver)).publishes) return {};
  const { publishContext } = await driver.call(Controller.method.controllerPublishVolume, {
    volumeId: info.handle,
    nodeId: driverNodeId,
    volumeCapability: volumeCapability(spec),
    readonly: false,
    secrets: { ...secrets },
    volumeContext: { ...info.context },
  });
  return publishContext;
}

export async function unpublishVolume(
  driver: Driver,
  { info, secrets }: MadeVolume,
  driverNodeId: string,
): Promise<void> {
  if (!(await abilities(driver)).publishes) return;
  await driver.call(Controller.method.controllerUnpublishVolume, {
    volumeId: info.handle,
    nodeId: driverNodeId,
    secrets: { ...secrets },
  });
}
