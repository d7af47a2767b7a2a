import type { MessageInitShape } from '@bufbuild/protobuf';
import type { VolumeSpec } from '../model/index.ts';
import type { VolumeCapabilitySchema } from './gen/csi.pb.ts';
import { ACCESS_MODE } from './numbers.ts';

/** How tasks will use the volume, in the interface's words. */
export function volumeCapability({
  ClusterVolumeSpec: { AccessMode },
}: VolumeSpec): MessageInitShape<typeof VolumeCapabilitySchema> {
  const { MountVolume, BlockVolume } = AccessMode ?? {};
  const mode = accessMode(AccessMode?.Scope || 'single', AccessMode?.Sharing || 'none');
  if (BlockVolume) return { accessType: { case: 'block', value: {} }, accessMode: { mode } };
  const mount = {
    fsType: MountVolume?.FsType ?? '',
    mountFlags: [...(MountVolume?.MountFlags ?? [])],
  };
  return { accessType: { case: 'mount', value: mount }, accessMode: { mode } };
}

function accessMode(scope: 'single' | 'multi', sharing: string): number {
  if (scope === 'single') {
    return sharing === 'readonly' ? ACCESS_MODE.singleNodeReader : ACCESS_MODE.singleNodeWriter;
  }
  if (sharing === 'readonly') return ACCESS_MODE.multiNodeReader;
  return sharing === 'all' ? ACCESS_MODE.multiNodeMultiWriter : ACCESS_MODE.multiNodeSingleWriter;
}
