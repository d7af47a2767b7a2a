/** What a container is made of. Every decision is taken by the caller; nothing here reads the machine. */

/** Where the container's root directory comes from. Paths are absolute host paths. */
export type RootFs =
  | {
      /** Read-only layers, top-most first. All must exist. */
      readonly lowerDirs: readonly string[];
      /** Writable layer and overlayfs work directory: same file system, both must exist. */
      readonly upperDir: string;
      readonly workDir: string;
    }
  | { readonly path: string };

/** Numeric identity inside the container; names are resolved by the caller from the image's files. */
export interface ProcessUser {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids?: readonly number[] | undefined;
}

/** Mount propagation of a bind. Shared forms are refused: a container never changes the host's mounts. */
export type Propagation = 'private' | 'rprivate' | 'slave' | 'rslave';

export type MountSpec =
  | {
      readonly type: 'bind';
      /** Absolute host path of a directory or file. Secrets and configs arrive this way too. */
      readonly source: string;
      /** Absolute path in the container; missing parents are created inside its root, never outside. */
      readonly target: string;
      readonly readOnly?: boolean | undefined;
      /** Bind only this mount, not the ones below it. */
      readonly nonRecursive?: boolean | undefined;
      readonly propagation?: Propagation | undefined;
      readonly noExec?: boolean | undefined;
    }
  | {
      readonly type: 'tmpfs';
      readonly target: string;
      readonly sizeBytes?: number | undefined;
      /** Permission bits; 0o1777 when absent. */
      readonly mode?: number | undefined;
      readonly readOnly?: boolean | undefined;
      /** Extra comma separated tmpfs data, as in `uid=1000,nr_inodes=1k`. */
      readonly options?: string | undefined;
      /** Docker's default for tmpfs mounts is noexec; set to allow programs there. */
      readonly exec?: boolean | undefined;
    };

/** A host device made visible in the container, with the access its device cgroup gives. */
export interface DeviceSpec {
  readonly hostPath: string;
  readonly containerPath: string;
  /** Any of `r`, `w`, `m`. */
  readonly permissions: string;
}

/** An additional rule of the device cgroup, in the words of `docker run --device-cgroup-rule`: `c 42:* rmw`. */
export type DeviceCgroupRule = string;

/** Limits and weights. An absent field is left as it is (unlimited for a new container). */
export interface Resources {
  readonly memoryBytes?: number | undefined;
  /** Memory plus swap, in bytes; -1 is unlimited; absent or 0 is twice `memoryBytes` as in Docker. */
  readonly memorySwapBytes?: number | undefined;
  readonly memoryReservationBytes?: number | undefined;
  /** CPU quota: 1e9 is one whole CPU. Wins over `cpuQuotaUs`. */
  readonly nanoCpus?: number | undefined;
  readonly cpuQuotaUs?: number | undefined;
  readonly cpuPeriodUs?: number | undefined;
  /** Relative weight, Docker's scale (1024 is one share). */
  readonly cpuShares?: number | undefined;
  readonly cpusetCpus?: string | undefined;
  readonly cpusetMems?: string | undefined;
  /** Greatest number of tasks; 0 or -1 is unlimited. */
  readonly pidsLimit?: number | undefined;
  /** 10..1000. */
  readonly blkioWeight?: number | undefined;
  readonly throttle?: readonly DeviceThrottle[] | undefined;
}

/** One rate limit of one block device. `rate` is bytes/s for `*Bps`, operations/s for `*Iops`; 0 removes it. */
export interface DeviceThrottle {
  readonly major: number;
  readonly minor: number;
  readonly kind: 'readBps' | 'writeBps' | 'readIops' | 'writeIops';
  readonly rate: number;
}

/** setrlimit(2). Name without `RLIMIT_`, any case: `nofile`. -1 is unlimited. Clamped to what the agent may give. */
export interface Rlimit {
  readonly name: string;
  readonly soft: number;
  readonly hard: number;
}

/** `new` makes a namespace, `host` stays in the agent's, a path joins (`/proc/<pid>/ns/net`, `/run/netns/x`). */
export type NamespaceMode = 'new' | 'host' | { readonly path: string };

export interface Namespaces {
  readonly network?: NamespaceMode | undefined;
  readonly pid?: NamespaceMode | undefined;
  readonly ipc?: NamespaceMode | undefined;
  readonly uts?: NamespaceMode | undefined;
  readonly cgroup?: NamespaceMode | undefined;
}

/** An OCI/Docker seccomp profile, the fields we honour (docs.docker.com/engine/security/seccomp). */
export interface SeccompProfile {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number | undefined;
  readonly syscalls: readonly SeccompRule[];
}

export interface SeccompRule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number | undefined;
  readonly args?: readonly SeccompArg[] | undefined;
  readonly includes?: SeccompCondition | undefined;
  readonly excludes?: SeccompCondition | undefined;
}

export interface SeccompArg {
  readonly index: number;
  readonly value: number;
  readonly valueTwo?: number | undefined;
  readonly op: string;
}

export interface SeccompCondition {
  readonly caps?: readonly string[] | undefined;
  /** Docker's names: `amd64`, `arm64`. */
  readonly arches?: readonly string[] | undefined;
  /** Lowest kernel `major.minor`. */
  readonly minKernel?: string | undefined;
}

/** The log the container's shim writes. */
export interface LogSpec {
  /** Absolute path of the newest file; older ones are `<path>.1`, `<path>.2`, … Default: inside the state directory. */
  readonly path?: string | undefined;
  /** A file is rotated before it would grow beyond this. Default 16 MiB. */
  readonly maxSizeBytes?: number | undefined;
  /** Files kept, the newest included. Default 3. */
  readonly maxFiles?: number | undefined;
  /** Do not log at all. */
  readonly disabled?: boolean | undefined;
}

export interface ContainerSpec {
  /** `[A-Za-z0-9][A-Za-z0-9_.-]*`, at most 128 characters; also the name of the cgroup. */
  readonly id: string;
  readonly rootfs: RootFs;
  /** argv, at least one element. argv[0] without a slash is looked up in the PATH of `env`. */
  readonly args: readonly string[];
  /** `NAME=value`; the complete environment, nothing is added. */
  readonly env: readonly string[];
  /** Absolute; default `/`. Created when missing, as Docker does. */
  readonly cwd?: string | undefined;
  /** Default root. */
  readonly user?: ProcessUser | undefined;
  readonly hostname?: string | undefined;
  readonly domainname?: string | undefined;
  /** Mounted in this order after /proc, /dev, /sys. */
  readonly mounts?: readonly MountSpec[] | undefined;
  /** Added to Docker's default set; `ALL` or names with or without `CAP_`. */
  readonly capAdd?: readonly string[] | undefined;
  readonly capDrop?: readonly string[] | undefined;
  readonly noNewPrivileges?: boolean | undefined;
  /** Default `default` (`unconfined` when privileged). */
  readonly seccomp?: 'default' | 'unconfined' | SeccompProfile | undefined;
  readonly readonlyRootfs?: boolean | undefined;
  /** Default: Docker's lists. Empty array: none. */
  readonly maskedPaths?: readonly string[] | undefined;
  readonly readonlyPaths?: readonly string[] | undefined;
  /** Give the process a terminal; stdout and stderr become one stream. */
  readonly tty?: boolean | undefined;
  /** Initial size of the terminal. */
  readonly consoleSize?: { readonly rows: number; readonly cols: number } | undefined;
  /** Keep stdin open for attach; otherwise it is /dev/null. */
  readonly openStdin?: boolean | undefined;
  readonly resources?: Resources | undefined;
  readonly rlimits?: readonly Rlimit[] | undefined;
  /** Namespaced kernel parameters, dotted names: `net.*`, `kernel.{shm,msg,sem}*`, `fs.mqueue.*`. */
  readonly sysctls?: Readonly<Record<string, string>> | undefined;
  /** Cgroup below which the container's own is made, in every hierarchy. Default `/muster`. */
  readonly cgroupParent?: string | undefined;
  readonly devices?: readonly DeviceSpec[] | undefined;
  readonly deviceCgroupRules?: readonly DeviceCgroupRule[] | undefined;
  /** -1000..1000; lowering needs a capability and is best effort. */
  readonly oomScoreAdj?: number | undefined;
  /** All capabilities, all devices, no masks, no seccomp, writable /sys. */
  readonly privileged?: boolean | undefined;
  /** Put a reaper that forwards signals in front of the program (`docker run --init`). */
  readonly init?: boolean | undefined;
  readonly namespaces?: Namespaces | undefined;
  /** Size of /dev/shm. Default 64 MiB. */
  readonly shmSizeBytes?: number | undefined;
  readonly log?: LogSpec | undefined;
  /**
   * Killed by its shim, whatever the agent is doing, when the instant in the file (CLOCK_BOOTTIME, milliseconds, as text)
   * is longer ago than `ms`; not started then, either.
   */
  readonly fence?: { readonly path: string; readonly ms: number } | undefined;
}

/** A further process in a running container. Absent fields are the container's. */
export interface ExecSpec {
  /** Unique within the container; same alphabet as container ids. */
  readonly execId: string;
  readonly args: readonly string[];
  /** The complete environment; default: the container's. */
  readonly env?: readonly string[] | undefined;
  readonly cwd?: string | undefined;
  readonly user?: ProcessUser | undefined;
  readonly tty?: boolean | undefined;
  readonly consoleSize?: { readonly rows: number; readonly cols: number } | undefined;
  readonly openStdin?: boolean | undefined;
  readonly privileged?: boolean | undefined;
}
