/** Options that would change how a container runs and that this engine cannot follow: refused, never ignored. Pure. */
import { ClusterError } from '../model/index.ts';
import type { DockerJson } from './docker-shape.ts';

type Accepts = (value: unknown) => boolean;

const empty: Accepts = (value) =>
  value === 0 ||
  value === '' ||
  value === false ||
  (typeof value === 'object' && Object.keys(value ?? {}).length === 0);
function oneOf(...values: readonly unknown[]): Accepts {
  return (value): boolean => values.includes(value);
}

/** Field of HostConfig → the values that ask for nothing special. Null and absent always do. */
const ACCEPTED: Readonly<Record<string, Accepts>> = {
  BlkioWeightDevice: empty,
  Cgroup: empty,
  CpuRealtimePeriod: empty,
  CpuRealtimeRuntime: empty,
  DeviceRequests: empty,
  Isolation: oneOf('', 'default'),
  KernelMemory: empty,
  KernelMemoryTCP: empty,
  Links: empty,
  MemorySwappiness: oneOf(-1, 0),
  OomKillDisable: oneOf(false),
  Runtime: oneOf('', 'muster'),
  StorageOpt: empty,
  UsernsMode: oneOf('', 'host'),
  VolumeDriver: oneOf('', 'local'),
};

/** @throws ClusterError `not-implemented` (501) that names the option */
export function refuseUnsupported(hostConfig: DockerJson): void {
  for (const [name, accepts] of Object.entries(ACCEPTED)) {
    const value = hostConfig[name];
    if (value === undefined || value === null || accepts(value)) continue;
    throw new ClusterError(
      'not-implemented',
      `HostConfig.${name} is not supported: ${JSON.stringify(value)}`,
    );
  }
}
