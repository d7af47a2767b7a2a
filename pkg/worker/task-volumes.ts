import type { TaskDevice } from '../engine/index.ts';
import type { MountSpec, Task, VolumeId } from '../model/index.ts';

/** A cluster volume on this host. */
export interface HostVolume {
  readonly path: string;
  /** `path` is a block device instead of a directory. */
  readonly isBlock: boolean;
}

export type VolumeLookup = (id: VolumeId) => HostVolume | undefined;

/** Cluster volumes as what they are on this host: directories to bind, and devices. Those of the task are all there. */
export function taskVolumes(
  { volumes = [] }: Task,
  mounts: readonly MountSpec[],
  find: VolumeLookup,
): { readonly mounts: readonly MountSpec[]; readonly devices: readonly TaskDevice[] } {
  const devices: TaskDevice[] = [];
  const others: MountSpec[] = [];
  for (const mount of mounts) {
    const chosen = volumes.find(({ target }) => target === mount.Target);
    const volume = mount.Type === 'cluster' && chosen ? find(chosen.volumeId) : undefined;
    if (!volume) {
      others.push(mount);
      continue;
    }
    const target = mount.Target ?? '';
    const readOnly = mount.ReadOnly ?? false;
    if (volume.isBlock) devices.push({ path: volume.path, target, readOnly });
    else others.push({ Type: 'bind', Source: volume.path, Target: target, ReadOnly: readOnly });
  }
  return { mounts: others, devices };
}
