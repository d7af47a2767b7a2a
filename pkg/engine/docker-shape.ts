/** What `POST /containers/create` carries (Engine API v1.50), as far as this engine reads it. Go's zero values and null mean absent. */
import { ClusterError } from '../model/index.ts';

type Maybe<T> = T | null | undefined;
type Strings = Maybe<readonly string[]>;
type TextMap = Readonly<Record<string, string>>;

/** Any JSON object. */
export type DockerJson = Readonly<Record<string, unknown>>;

export interface HealthConfig {
  readonly Test?: Strings;
  /** Nanoseconds, as all durations here. */
  readonly Interval?: Maybe<number>;
  readonly Timeout?: Maybe<number>;
  readonly Retries?: Maybe<number>;
  readonly StartPeriod?: Maybe<number>;
  readonly StartInterval?: Maybe<number>;
}

export interface ContainerConfig {
  readonly Hostname?: Maybe<string>;
  readonly Domainname?: Maybe<string>;
  readonly User?: Maybe<string>;
  readonly AttachStdin?: Maybe<boolean>;
  readonly AttachStdout?: Maybe<boolean>;
  readonly AttachStderr?: Maybe<boolean>;
  readonly Tty?: Maybe<boolean>;
  readonly OpenStdin?: Maybe<boolean>;
  readonly StdinOnce?: Maybe<boolean>;
  readonly Env?: Strings;
  readonly Cmd?: Strings | string;
  readonly Entrypoint?: Strings | string;
  readonly Image?: Maybe<string>;
  readonly Volumes?: Maybe<Readonly<Record<string, object>>>;
  readonly ExposedPorts?: Maybe<Readonly<Record<string, object>>>;
  readonly WorkingDir?: Maybe<string>;
  readonly Labels?: Maybe<TextMap>;
  readonly StopSignal?: Maybe<string>;
  /** Seconds. */
  readonly StopTimeout?: Maybe<number>;
  readonly Healthcheck?: Maybe<HealthConfig>;
  readonly NetworkDisabled?: Maybe<boolean>;
}

export interface MountRequest {
  readonly Type?: Maybe<string>;
  readonly Source?: Maybe<string>;
  readonly Target?: Maybe<string>;
  readonly ReadOnly?: Maybe<boolean>;
  readonly BindOptions?: Maybe<{
    readonly Propagation?: Maybe<string>;
    readonly NonRecursive?: Maybe<boolean>;
    readonly CreateMountpoint?: Maybe<boolean>;
  }>;
  readonly VolumeOptions?: Maybe<{
    readonly NoCopy?: Maybe<boolean>;
    readonly Labels?: Maybe<TextMap>;
    readonly Subpath?: Maybe<string>;
    readonly DriverConfig?: Maybe<{
      readonly Name?: Maybe<string>;
      readonly Options?: Maybe<TextMap>;
    }>;
  }>;
  readonly TmpfsOptions?: Maybe<{
    readonly SizeBytes?: Maybe<number>;
    readonly Mode?: Maybe<number>;
  }>;
}

export interface PortBinding {
  readonly HostIp?: Maybe<string>;
  readonly HostPort?: Maybe<string>;
}

export interface RestartPolicySpec {
  readonly Name?: Maybe<string>;
  readonly MaximumRetryCount?: Maybe<number>;
}

interface ThrottleRequest {
  readonly Path: string;
  readonly Rate: number;
}

export interface HostConfig {
  readonly Binds?: Strings;
  readonly Mounts?: Maybe<readonly MountRequest[]>;
  readonly Tmpfs?: Maybe<TextMap>;
  readonly VolumesFrom?: Strings;
  readonly LogConfig?: Maybe<{ readonly Type?: Maybe<string>; readonly Config?: Maybe<TextMap> }>;
  readonly NetworkMode?: Maybe<string>;
  readonly PortBindings?: Maybe<Readonly<Record<string, Maybe<readonly PortBinding[]>>>>;
  readonly PublishAllPorts?: Maybe<boolean>;
  readonly RestartPolicy?: Maybe<RestartPolicySpec>;
  readonly AutoRemove?: Maybe<boolean>;
  readonly CapAdd?: Strings;
  readonly CapDrop?: Strings;
  readonly Dns?: Strings;
  readonly DnsOptions?: Strings;
  readonly DnsSearch?: Strings;
  readonly ExtraHosts?: Strings;
  readonly GroupAdd?: Strings;
  readonly IpcMode?: Maybe<string>;
  readonly PidMode?: Maybe<string>;
  readonly UTSMode?: Maybe<string>;
  readonly CgroupnsMode?: Maybe<string>;
  readonly Privileged?: Maybe<boolean>;
  readonly ReadonlyRootfs?: Maybe<boolean>;
  readonly SecurityOpt?: Strings;
  readonly ShmSize?: Maybe<number>;
  readonly Sysctls?: Maybe<TextMap>;
  readonly MaskedPaths?: Strings;
  readonly ReadonlyPaths?: Strings;
  readonly OomScoreAdj?: Maybe<number>;
  readonly Init?: Maybe<boolean>;
  readonly CgroupParent?: Maybe<string>;
  readonly ConsoleSize?: Maybe<readonly number[]>;
  readonly Memory?: Maybe<number>;
  readonly MemorySwap?: Maybe<number>;
  readonly MemoryReservation?: Maybe<number>;
  readonly NanoCpus?: Maybe<number>;
  readonly CpuQuota?: Maybe<number>;
  readonly CpuPeriod?: Maybe<number>;
  readonly CpuShares?: Maybe<number>;
  readonly CpusetCpus?: Maybe<string>;
  readonly CpusetMems?: Maybe<string>;
  readonly PidsLimit?: Maybe<number>;
  readonly BlkioWeight?: Maybe<number>;
  readonly BlkioDeviceReadBps?: Maybe<readonly ThrottleRequest[]>;
  readonly BlkioDeviceWriteBps?: Maybe<readonly ThrottleRequest[]>;
  readonly BlkioDeviceReadIOps?: Maybe<readonly ThrottleRequest[]>;
  readonly BlkioDeviceWriteIOps?: Maybe<readonly ThrottleRequest[]>;
  readonly Devices?: Maybe<
    readonly {
      readonly PathOnHost?: Maybe<string>;
      readonly PathInContainer?: Maybe<string>;
      readonly CgroupPermissions?: Maybe<string>;
    }[]
  >;
  readonly DeviceCgroupRules?: Strings;
  readonly Ulimits?: Maybe<
    readonly { readonly Name: string; readonly Soft: number; readonly Hard: number }[]
  >;
}

export interface EndpointConfig {
  readonly NetworkID?: Maybe<string>;
  readonly Aliases?: Strings;
  readonly IPAMConfig?: Maybe<{
    readonly IPv4Address?: Maybe<string>;
    readonly IPv6Address?: Maybe<string>;
  }>;
  readonly DriverOpts?: Maybe<TextMap>;
}

export interface CreateBody extends ContainerConfig {
  readonly HostConfig?: Maybe<HostConfig>;
  readonly NetworkingConfig?: Maybe<{
    readonly EndpointsConfig?: Maybe<Readonly<Record<string, Maybe<EndpointConfig>>>>;
  }>;
}

/**
 * Trusts field names and checks the types of what is used without further checks.
 * @throws ClusterError `invalid`
 */
export function parseCreateBody(body: DockerJson): CreateBody {
  for (const key of ['Env', 'Cmd', 'Entrypoint'] as const) {
    const value = body[key];
    if (value === undefined || value === null || typeof value === 'string') continue;
    if (!Array.isArray(value) || !value.every((each) => typeof each === 'string')) {
      throw new ClusterError('invalid', `invalid value for ${key}: a list of strings is expected`);
    }
  }
  return body as CreateBody;
}

/** A list that may come as one string. */
export function wordsOf(value: Maybe<readonly string[]> | string): readonly string[] | undefined {
  if (value === undefined || value === null) return undefined;
  return typeof value === 'string' ? [value] : value;
}
