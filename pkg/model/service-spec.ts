/**
 * The Engine API's ServiceSpec (published description v1.50), stored exactly as the user sent it, unknown fields
 * included: it is the user's text, never rewritten. `resolveService` gives the filled-in form that everything inside
 * works with. Durations are nanoseconds, memory is bytes, CPU is 1e-9 CPUs.
 */
type Maybe<T> = T | null | undefined;
type TextMap = Readonly<Record<string, string>>;

export interface ServiceSpec {
  readonly Name?: string | undefined;
  readonly Labels?: Maybe<TextMap>;
  readonly TaskTemplate?: Maybe<TaskTemplateSpec>;
  readonly Mode?: Maybe<{
    readonly Replicated?: Maybe<{ readonly Replicas?: Maybe<number> }>;
    readonly Global?: Maybe<object>;
    readonly ReplicatedJob?: Maybe<{
      readonly MaxConcurrent?: Maybe<number>;
      readonly TotalCompletions?: Maybe<number>;
    }>;
    readonly GlobalJob?: Maybe<object>;
  }>;
  readonly UpdateConfig?: Maybe<UpdateConfigSpec>;
  readonly RollbackConfig?: Maybe<UpdateConfigSpec>;
  readonly Networks?: Maybe<readonly NetworkTargetSpec[]>;
  readonly EndpointSpec?: Maybe<{
    readonly Mode?: Maybe<string>;
    readonly Ports?: Maybe<readonly PortSpec[]>;
  }>;
}

export interface TaskTemplateSpec {
  readonly ContainerSpec?: Maybe<ContainerSpec>;
  readonly Resources?: Maybe<{
    readonly Limits?: Maybe<ResourceSpec>;
    readonly Reservations?: Maybe<ResourceSpec>;
  }>;
  readonly RestartPolicy?: Maybe<{
    readonly Condition?: Maybe<string>;
    readonly Delay?: Maybe<number>;
    readonly MaxAttempts?: Maybe<number>;
    readonly Window?: Maybe<number>;
  }>;
  readonly Placement?: Maybe<{
    readonly Constraints?: Maybe<readonly string[]>;
    readonly Preferences?: Maybe<
      readonly { readonly Spread?: Maybe<{ readonly SpreadDescriptor: string }> }[]
    >;
    readonly MaxReplicas?: Maybe<number>;
    readonly Platforms?: Maybe<
      readonly { readonly Architecture?: string | undefined; readonly OS?: string | undefined }[]
    >;
  }>;
  readonly Networks?: Maybe<readonly NetworkTargetSpec[]>;
  readonly LogDriver?: Maybe<{
    readonly Name?: string | undefined;
    readonly Options?: Maybe<TextMap>;
  }>;
  readonly ForceUpdate?: Maybe<number>;
  readonly Runtime?: Maybe<string>;
}

export interface ContainerSpec {
  readonly Image: string;
  readonly Labels?: Maybe<TextMap>;
  /** Replaces the image's entrypoint. */
  readonly Command?: Maybe<readonly string[]>;
  /** Replaces the image's command. */
  readonly Args?: Maybe<readonly string[]>;
  readonly Hostname?: Maybe<string>;
  readonly Env?: Maybe<readonly string[]>;
  readonly Dir?: Maybe<string>;
  readonly User?: Maybe<string>;
  readonly Groups?: Maybe<readonly string[]>;
  readonly TTY?: Maybe<boolean>;
  readonly OpenStdin?: Maybe<boolean>;
  readonly ReadOnly?: Maybe<boolean>;
  readonly Init?: Maybe<boolean>;
  readonly Mounts?: Maybe<readonly MountSpec[]>;
  readonly StopSignal?: Maybe<string>;
  readonly StopGracePeriod?: Maybe<number>;
  readonly Healthcheck?: Maybe<HealthSpec>;
  /** `IP name…` lines as the API has them. */
  readonly Hosts?: Maybe<readonly string[]>;
  readonly DNSConfig?: Maybe<{
    readonly Nameservers?: Maybe<readonly string[]>;
    readonly Search?: Maybe<readonly string[]>;
    readonly Options?: Maybe<readonly string[]>;
  }>;
  readonly Secrets?: Maybe<readonly SecretReferenceSpec[]>;
  readonly Configs?: Maybe<readonly ConfigReferenceSpec[]>;
  readonly Isolation?: Maybe<string>;
  readonly Sysctls?: Maybe<TextMap>;
  readonly CapabilityAdd?: Maybe<readonly string[]>;
  readonly CapabilityDrop?: Maybe<readonly string[]>;
  readonly Ulimits?: Maybe<
    readonly { readonly Name: string; readonly Soft: number; readonly Hard: number }[]
  >;
  readonly OomScoreAdj?: Maybe<number>;
  readonly Privileges?: Maybe<{
    readonly NoNewPrivileges?: Maybe<boolean>;
    readonly Seccomp?: Maybe<{ readonly Mode?: Maybe<string>; readonly Profile?: Maybe<string> }>;
  }>;
}

export interface HealthSpec {
  readonly Test?: Maybe<readonly string[]>;
  readonly Interval?: Maybe<number>;
  readonly Timeout?: Maybe<number>;
  readonly Retries?: Maybe<number>;
  readonly StartPeriod?: Maybe<number>;
  readonly StartInterval?: Maybe<number>;
}

export interface MountSpec {
  readonly Type?: Maybe<string>;
  readonly Source?: Maybe<string>;
  readonly Target?: Maybe<string>;
  readonly ReadOnly?: Maybe<boolean>;
  readonly Consistency?: Maybe<string>;
  readonly BindOptions?: Maybe<{
    readonly Propagation?: Maybe<string>;
    readonly CreateMountpoint?: Maybe<boolean>;
  }>;
  readonly VolumeOptions?: Maybe<{
    readonly NoCopy?: Maybe<boolean>;
    readonly Labels?: Maybe<TextMap>;
    readonly Subpath?: Maybe<string>;
    readonly DriverConfig?: Maybe<{
      readonly Name?: string | undefined;
      readonly Options?: Maybe<TextMap>;
    }>;
  }>;
  readonly TmpfsOptions?: Maybe<{
    readonly SizeBytes?: Maybe<number>;
    readonly Mode?: Maybe<number>;
  }>;
}

export interface FileTargetSpec {
  readonly Name: string;
  readonly UID?: string | undefined;
  readonly GID?: string | undefined;
  /** Go FileMode bits, 0444 = 292. */
  readonly Mode?: number | undefined;
}
export interface SecretReferenceSpec {
  readonly SecretID: string;
  readonly SecretName: string;
  readonly File?: Maybe<FileTargetSpec>;
}
export interface ConfigReferenceSpec {
  readonly ConfigID: string;
  readonly ConfigName: string;
  readonly File?: Maybe<FileTargetSpec>;
  readonly Runtime?: Maybe<object>;
}

export interface ResourceSpec {
  readonly NanoCPUs?: Maybe<number>;
  readonly MemoryBytes?: Maybe<number>;
  readonly Pids?: Maybe<number>;
  readonly GenericResources?: Maybe<readonly unknown[]>;
}

export interface UpdateConfigSpec {
  readonly Parallelism?: Maybe<number>;
  readonly Delay?: Maybe<number>;
  readonly FailureAction?: Maybe<string>;
  readonly Monitor?: Maybe<number>;
  readonly MaxFailureRatio?: Maybe<number>;
  readonly Order?: Maybe<string>;
}

export interface NetworkTargetSpec {
  /** Network id; the API replaces a name by the id before the spec is stored. */
  readonly Target?: Maybe<string>;
  readonly Aliases?: Maybe<readonly string[]>;
  readonly DriverOpts?: Maybe<TextMap>;
}

export interface PortSpec {
  readonly Name?: Maybe<string>;
  readonly Protocol?: Maybe<string>;
  readonly TargetPort?: Maybe<number>;
  /** 0 or absent: taken from 30000-32767. */
  readonly PublishedPort?: Maybe<number>;
  readonly PublishMode?: Maybe<string>;
}
