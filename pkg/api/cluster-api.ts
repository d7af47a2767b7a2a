import type {
  Change,
  Cluster,
  NetworkCheck,
  NetworkId,
  NodeId,
  ServiceId,
  TaskId,
  View,
} from '../model/index.ts';
import type { Store } from '../store/index.ts';

/** The part of the replicated store that the API uses; tests give an in-memory one over the same tables. */
export type ClusterStore = Pick<
  Store,
  'view' | 'moment' | 'now' | 'barrier' | 'update' | 'watch' | 'members'
>;

/** Which logs, of which tasks. */
export interface ClusterLogRequest {
  readonly tasks: readonly TaskId[];
  /** Also tasks of this service that appear while following. */
  readonly serviceId?: string | undefined;
  readonly follow: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly sinceNs?: bigint | undefined;
  /** Per task: start with at most the last n records; absent: all. */
  readonly tail?: number | undefined;
  readonly signal: AbortSignal;
}

/** One line of one task, its newline included when there was one. */
export interface ClusterLogRecord {
  readonly taskId: string;
  readonly nodeId: string;
  readonly timeNs: bigint;
  readonly stream: 'stdout' | 'stderr';
  readonly data: Uint8Array;
}

/** What a manager process gives the API's cluster routes. */
export interface ClusterApi {
  readonly store: ClusterStore;
  /** The node this manager runs on. */
  readonly nodeId: NodeId;
  /**
   * Called after a manager's wanted role became worker: resolves when the leader has taken it out of the raft group. The
   * API has checked that the remaining managers keep a quorum.
   */
  demote(nodeId: NodeId): Promise<void>;
  /** Log records of tasks wherever they run, each task's in order. Ends at the end of the logs unless `follow`. */
  logs(request: ClusterLogRequest): AsyncIterable<ClusterLogRecord>;
  /** Why things are as they are: plain data, `docs/design/api.md`. Reads the view before it returns. */
  explainTask(view: View, id: TaskId): object;
  explainService(view: View, id: ServiceId): object;
  /** What `changes` of a service would do, tried in virtual time. Reads the view before it returns the promise. */
  plan(view: View, changes: readonly Change[], serviceId: ServiceId): Promise<object>;
  /** What every node of a network sees of it. @throws ClusterError `unavailable` without a leader */
  checkNetwork(id: NetworkId): Promise<NetworkCheck>;
  /** A fresh join token for a role: `SWMTKN-1-<hash of the CA>-<secret>`. */
  newJoinToken(cluster: Cluster, role: 'worker' | 'manager'): string;
}
