import type {
  Config,
  HostNetworkCheck,
  NetworkEndpoint,
  NetworkId,
  NetworkPeer,
  NetworkTable,
  NodeDescription,
  NodeId,
  NodeRole,
  RegistryCredentials,
  Secret,
  ServiceId,
  ServiceSpec,
  Task,
  TaskId,
  TaskStatus,
  Version,
  VolumeId,
  VolumeSpec,
} from '../model/index.ts';

/** A task of the node with the spec it runs. */
export interface TaskAssignment {
  /** `desiredState` as the agent shall follow it now: a stop may be held back until no node sends it new connections. */
  readonly task: Task;
  readonly spec: ServiceSpec;
  /** For the registry of the task's image. */
  readonly registryAuth?: RegistryCredentials | undefined;
}

/** Endpoints and nodes of one network that became different, on top of the table that the node was told last. */
export interface NetworkPatch {
  readonly networkId: NetworkId;
  readonly revision: Version;
  /** New or changed. */
  readonly endpoints: readonly NetworkEndpoint[];
  readonly removedEndpoints: readonly TaskId[];
  readonly peers: readonly NetworkPeer[];
  readonly removedPeers: readonly NodeId[];
  readonly gateways: readonly NetworkPeer[];
  readonly removedGateways: readonly NodeId[];
}

/** A cluster volume for the node, or one that the node is to let go. */
export interface VolumeAssignment {
  readonly id: VolumeId;
  readonly spec: VolumeSpec;
  /** The driver's own name of it. */
  readonly handle: string;
  readonly context: Readonly<Record<string, string>>;
  readonly publishContext: Readonly<Record<string, string>>;
  /** Ids of secrets by the driver's key; their values are among the node's secrets. */
  readonly secrets: Readonly<Record<string, string>>;
  /** It has to go from the node once no task uses it there. */
  readonly leaving: boolean;
}

export interface VolumeStatusReport {
  readonly volumeId: VolumeId;
  /** Nothing of it is on the node any more. */
  readonly gone: boolean;
  /** Why it is not yet as it should be. */
  readonly error?: string | undefined;
}

/** What became different for one node. In a complete message: everything there is, nothing removed. */
export interface AssignmentChanges {
  readonly tasks: readonly TaskAssignment[];
  readonly removedTasks: readonly TaskId[];
  readonly secrets: readonly Secret[];
  readonly removedSecrets: readonly string[];
  readonly configs: readonly Config[];
  readonly removedConfigs: readonly string[];
  /** Whole tables of networks that are new to the node or changed in more than a patch can say. */
  readonly networks: readonly NetworkTable[];
  readonly networkPatches: readonly NetworkPatch[];
  readonly removedNetworks: readonly NetworkId[];
  /** Absent from managers that know no cluster volumes. */
  readonly volumes?: readonly VolumeAssignment[] | undefined;
  readonly removedVolumes?: readonly VolumeId[] | undefined;
}

export interface TaskStatusReport {
  readonly taskId: TaskId;
  readonly status: TaskStatus;
}

export interface LogOptions {
  readonly follow: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** Last records per task; absent: all. */
  readonly tail?: number | undefined;
  /** Milliseconds since the epoch. */
  readonly sinceMs?: number | undefined;
  readonly untilMs?: number | undefined;
}

/** Whose logs a reader wants: all tasks of the services, and the tasks named. */
export interface LogSelector {
  readonly serviceIds: readonly ServiceId[];
  readonly taskIds: readonly TaskId[];
}

export interface LogReadRequest {
  readonly selector: LogSelector;
  readonly options: LogOptions;
}

/** What one agent is asked for. */
export interface LogTaskRequest {
  readonly taskIds: readonly TaskId[];
  readonly options: LogOptions;
}

export interface LogRecord {
  readonly taskId: TaskId;
  readonly nodeId: string;
  /** Nanoseconds since the epoch. */
  readonly timeNs: bigint;
  readonly stream: 'stdout' | 'stderr';
  readonly data: Uint8Array;
}

export type AgentMessage =
  | {
      readonly kind: 'register';
      readonly description: NodeDescription;
      /** Underlay address; empty: as the manager sees it. */
      readonly address: string;
      /** The same in all sessions of one process of the agent; empty from one that does not say. */
      readonly agentRun: string;
    }
  /** Instead of `register`: answered with a redirect to the leader, which may be who answers. */
  | { readonly kind: 'find-leader' }
  | { readonly kind: 'heartbeat' }
  /** The agent ends and means to be back, as for an upgrade: its tasks go on running meanwhile. */
  | { readonly kind: 'away'; readonly backWithinMs: number }
  /** The kernel holds the network tables of all messages up to `sequence`. */
  | { readonly kind: 'acknowledge'; readonly sequence: number }
  | {
      readonly kind: 'report';
      readonly number: number;
      readonly statuses: readonly TaskStatusReport[];
    }
  /** What the host said of itself at registration is different now. */
  | { readonly kind: 'describe'; readonly description: NodeDescription }
  | { readonly kind: 'volume-report'; readonly statuses: readonly VolumeStatusReport[] }
  /** Answer to `check-network`; without `check` the node has no table of that network. */
  | {
      readonly kind: 'network-checked';
      readonly number: number;
      readonly check?: HostNetworkCheck | undefined;
    };

export type ManagerMessage =
  | { readonly kind: 'welcome'; readonly sessionId: string; readonly heartbeatMs: number }
  /** Does not lead; `leader` is empty while nobody does. */
  | { readonly kind: 'redirect'; readonly leader: string }
  | {
      readonly kind: 'assignments';
      readonly sequence: number;
      readonly complete: boolean;
      readonly changes: AssignmentChanges;
    }
  | { readonly kind: 'reported'; readonly number: number }
  | { readonly kind: 'managers'; readonly addresses: readonly string[] }
  /** What the cluster wants the node to be; a certificate that says otherwise is renewed. */
  | { readonly kind: 'role'; readonly role: NodeRole }
  | { readonly kind: 'alive' }
  | {
      readonly kind: 'log-request';
      readonly subscription: string;
      readonly request: LogTaskRequest;
    }
  | { readonly kind: 'log-end'; readonly subscription: string }
  | { readonly kind: 'check-network'; readonly number: number; readonly networkId: NetworkId };
