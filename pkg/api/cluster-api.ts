import type { AppliedChange, Change, Cluster, NodeId, TaskId, View } from '../model/index.ts';

/**
 * The part of the replicated store that the API uses. `pkg/store`'s front door has this shape; tests use an in-memory
 * one over the same tables.
 */
export interface ClusterStore {
  /** Applied state of this manager. Stands still until the next `await`. */
  readonly view: View;
  /** Resolves when `view` holds everything that was acknowledged anywhere before the call (a read index round). */
  barrier(): Promise<void>;
  /**
   * Runs `decide` on the newest view, proposes what it returns as one transaction and resolves when this manager has
   * applied it. `decide` may run again when the view it saw was overtaken. What `decide` throws, `update` rejects
   * with. Works on any manager. No changes: resolves without a round.
   */
  update(decide: (view: View) => readonly Change[]): Promise<void>;
  /** Every applied change from now on, in order. The iteration ends when `signal` fires. */
  watch(options: { readonly signal: AbortSignal }): AsyncIterable<StoreEvent>;
}

/** What one log entry did. */
export interface StoreEvent {
  readonly index: number;
  readonly changes: readonly AppliedChange[];
}

/** A manager as the others see it. */
export interface ManagerReachability {
  readonly leader: boolean;
  readonly reachability: 'unknown' | 'unreachable' | 'reachable';
}

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
  /** Raft's opinion of a manager node; undefined for a node that is no member. */
  reachability(nodeId: NodeId): ManagerReachability | undefined;
  /**
   * Before a manager's role changes to worker or its node is removed: take it out of the raft group. Rejects (kind
   * `invalid`) when the remaining managers could not form a quorum.
   */
  removeMember(nodeId: NodeId): Promise<void>;
  /** Log records of tasks wherever they run, each task's in order. Ends at the end of the logs unless `follow`. */
  logs(request: ClusterLogRequest): AsyncIterable<ClusterLogRecord>;
  /** A fresh join token for a role: `SWMTKN-1-<hash of the CA>-<secret>`. */
  newJoinToken(cluster: Cluster, role: 'worker' | 'manager'): string;
  /** `TLSInfo` of the cluster's CA, base64 fields as the Engine API has them. */
  tlsInfo(cluster: Cluster): TlsInfo;
}

export interface TlsInfo {
  /** PEM of the root certificate. */
  readonly TrustRoot: string;
  /** base64 of the DER subject. */
  readonly CertIssuerSubject: string;
  /** base64 of the DER public key. */
  readonly CertIssuerPublicKey: string;
}
