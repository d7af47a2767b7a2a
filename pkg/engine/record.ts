import type { ContainerConfig, EndpointConfig, HostConfig } from './docker-shape.ts';
import type { TaskHostPort } from './task-engine.ts';

/** A mount after every default was decided; the container sees exactly these. */
export type ResolvedMount =
  | {
      readonly type: 'bind';
      readonly source: string;
      readonly target: string;
      readonly readOnly: boolean;
      readonly propagation?: string | undefined;
      readonly nonRecursive?: boolean | undefined;
      /** `z`, `ro`… as the user wrote it. */
      readonly mode: string;
    }
  | {
      readonly type: 'volume';
      readonly volume: string;
      readonly target: string;
      readonly readOnly: boolean;
      /** Made for this container and removed with it. */
      readonly anonymous: boolean;
      readonly noCopy: boolean;
      readonly subpath?: string | undefined;
      readonly mode: string;
    }
  | {
      readonly type: 'tmpfs';
      readonly target: string;
      readonly options: string;
      readonly sizeBytes?: number | undefined;
      readonly modeBits?: number | undefined;
      readonly readOnly: boolean;
    };

/** The files of a secret or config: where its bytes lie on the host and where the container sees them. */
export interface MountedFile {
  readonly source: string;
  readonly target: string;
}

/** What makes a container the container of a task. */
export interface TaskRecord {
  readonly taskId: string;
  readonly serviceId: string;
  readonly overlays: readonly {
    readonly networkId: string;
    readonly networkName: string;
    readonly address: string;
    readonly address6?: string | undefined;
    readonly aliases: readonly string[];
  }[];
  readonly hostPorts: readonly TaskHostPort[];
  readonly files: readonly MountedFile[];
  readonly stopGraceMs: number;
  /** Killed when the cluster has not been heard for so long. */
  readonly fenceMs?: number | undefined;
}

export interface RunState {
  readonly status: 'created' | 'running' | 'exited' | 'removing';
  /** RFC 3339 with nanoseconds, or Go's zero time. */
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly exitCode: number;
  readonly error: string;
  readonly oomKilled: boolean;
  /** Killed at the end of its lease. */
  readonly fenced?: boolean | undefined;
  readonly restartCount: number;
  /** Last seen while it runs; kept so that an agent restart does not make it 'starting' again. */
  readonly health?: 'starting' | 'healthy' | 'unhealthy' | undefined;
  /** Stopped by a user: restart policies other than `always` leave it alone. */
  readonly stoppedByUser: boolean;
}

/** All that is kept of a container on disk; what cannot be read back from runtime and network. */
export interface ContainerRecord {
  readonly version: 1;
  readonly id: string;
  readonly name: string;
  /** RFC 3339. */
  readonly createdAt: string;
  /** As the user asked for it. */
  readonly imageName: string;
  readonly imageId: string;
  /** With the image's defaults filled in. */
  readonly config: ContainerConfig;
  readonly hostConfig: HostConfig;
  /** Local networks by name. */
  readonly endpoints: Readonly<Record<string, EndpointConfig>>;
  readonly mounts: readonly ResolvedMount[];
  readonly task?: TaskRecord | undefined;
  readonly state: RunState;
}

export const TIME_ZERO = '0001-01-01T00:00:00Z';

export const NEVER_RUN: RunState = {
  status: 'created',
  startedAt: TIME_ZERO,
  finishedAt: TIME_ZERO,
  exitCode: 0,
  error: '',
  oomKilled: false,
  restartCount: 0,
  stoppedByUser: false,
};
