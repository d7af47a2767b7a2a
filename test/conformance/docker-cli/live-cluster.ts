import { explainService, explainTask } from '../../../cmd/manager/explain.ts';
import { planChange } from '../../../cmd/manager/plan.ts';
import type { ClusterApi, ClusterLogRecord, ClusterLogRequest } from '../../../pkg/api/index.ts';
import { createJoinToken, createRoot } from '../../../pkg/ca/index.ts';
import { newObjectId, systemRandom } from '../../../pkg/io/index.ts';
import {
  DraftTables,
  type InstantMs,
  type NetworkCheck,
  type NodeId,
  type Task,
  updateObject,
  type View,
} from '../../../pkg/model/index.ts';
import { type Batch, type Committed, type MemberStatus, Moment } from '../../../pkg/store/index.ts';
import { DecideCluster, nextState } from '../../sim/decide-cluster.ts';

/** A cluster's first manager and two workers. */
export const NODES = ['m1', 'w1', 'w2'] as const;

/**
 * The real deciders over the real tables in this process, in real time, with agents that obey at once. Stands where a
 * manager's replicated store stands, so that the API can be driven without raft, network and containers.
 */
export class LiveCluster implements Disposable {
  readonly inner: DecideCluster;
  readonly api: ClusterApi;
  readonly nodeId: NodeId;
  readonly #listeners = new Set<(batch: Batch) => void>();
  #scheduled = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  static async create(): Promise<LiveCluster> {
    const root = await createRoot({ clusterId: 'c', now: Date.now() });
    return new LiveCluster(root.certificatePem);
  }

  private constructor(certificatePem: string) {
    const newToken = (): string => createJoinToken(certificatePem, newObjectId(systemRandom));
    this.inner = new DecideCluster({
      cluster: {
        ca: { certificatePem, keyPem: '' },
        joinTokens: { worker: newToken(), manager: newToken() },
      },
    });
    this.inner.now = Date.now() as InstantMs;
    this.inner.onApplied = (changes): void => this.#publish(changes);
    const [manager] = NODES.map((hostname) => this.#addNode(hostname));
    this.nodeId = manager as NodeId;
    this.api = {
      nodeId: this.nodeId,
      store: {
        view: this.inner.tables,
        moment: (): Moment => new Moment(this.inner.tables, this.api.store.watch),
        now: (): InstantMs => Date.now() as InstantMs,
        barrier: async (): Promise<View> => this.inner.tables,
        update: async <T>(work: (draft: DraftTables) => T): Promise<Committed<T>> =>
          this.#update(work),
        watch: (listener): Disposable => {
          this.#listeners.add(listener);
          return disposable(() => this.#listeners.delete(listener));
        },
        members: (): readonly MemberStatus[] => [
          {
            nodeId: this.nodeId,
            raftId: 1,
            address: '192.168.0.1:2377',
            role: 'voter',
            leader: true,
            reachable: true,
          },
        ],
      },
      demote: async (): Promise<void> => undefined,
      newJoinToken: newToken,
      explainTask: (view, id): object => explainTask(view, id, this.inner.now),
      checkNetwork: async (networkId): Promise<NetworkCheck> => {
        // There are no agents whose kernels could be looked at.
        return { networkId, name: '', digest: '', nodes: [] };
      },
      plan: (view, changes, serviceId): Promise<object> =>
        planChange(view, changes, { serviceId, now: this.inner.now }),
      explainService: (view, id): object => explainService(view, id, this.inner.now),
      logs: (request): AsyncIterable<ClusterLogRecord> => this.#logs(request),
    };
    this.wake();
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** Deciders and agents get a turn, soon. */
  wake(): void {
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#scheduled = false;
    if (this.#closed) return;
    this.inner.now = Math.max(this.inner.now, Date.now()) as InstantMs;
    const decided = this.inner.pass().length > 0;
    if (this.#obey() || decided) {
      this.wake();
      return;
    }
    clearTimeout(this.#timer);
    const { wakeAt } = this.inner;
    if (wakeAt === undefined) return;
    this.#timer = setTimeout(() => this.wake(), Math.max(1, wakeAt - Date.now()));
  }

  /** Each agent reports one step of each of its tasks; true when one moved. */
  #obey(): boolean {
    let moved = false;
    for (const task of [...this.inner.tables.list('task')]) {
      const next = task.nodeId && nextState(task);
      if (!next) continue;
      moved = true;
      const broken = next === 'running' && imageOf(this.inner, task) === BROKEN_IMAGE;
      if (broken) this.inner.report(task.id, 'failed', 'task: non-zero exit (1)');
      else this.inner.report(task.id, next);
    }
    return moved;
  }

  #addNode(hostname: string): NodeId {
    const role = hostname.startsWith('m') ? 'manager' : 'worker';
    const node = this.inner.addNode();
    this.inner.setNode(node.id, (before) => ({
      ...before,
      spec: { ...before.spec, Role: role },
      certificateRole: role,
      ...(before.description && { description: { ...before.description, hostname } }),
      ...(role === 'manager' && { manager: { raftId: 1, address: '192.168.0.1:2377' } }),
    }));
    return node.id;
  }

  #update<T>(work: (draft: DraftTables) => T): Committed<T> {
    this.inner.now = Math.max(this.inner.now, Date.now()) as InstantMs;
    const draft = new DraftTables(this.inner.tables);
    const value = work(draft);
    this.inner.apply(draft.changes);
    this.wake();
    return { value, index: this.inner.tables.index };
  }

  #publish(changes: Batch['changes']): void {
    const { index } = this.inner.tables;
    for (const listener of this.#listeners) {
      listener({ index, now: this.inner.now, changes, reset: false });
    }
  }

  async *#logs(request: ClusterLogRequest): AsyncIterable<ClusterLogRecord> {
    for (const id of request.tasks) {
      const task = this.inner.tables.get('task', id);
      if (!task?.nodeId) continue;
      yield {
        taskId: id,
        nodeId: task.nodeId,
        timeNs: BigInt(task.createdAt) * 1_000_000n,
        stream: 'stdout',
        data: Buffer.from(`hello from slot ${task.slot}\n`),
      };
    }
  }

  /** A status write, as heartbeats and reports make them all the time. */
  touchService(name: string): void {
    const service = this.inner.tables.byName('service', name);
    if (service) this.inner.apply([updateObject('service', { ...service })]);
  }
}

function disposable(end: () => void): Disposable {
  return { [Symbol.dispose]: end };
}

/** Tasks of this image fail as soon as they run. */
export const BROKEN_IMAGE = 'broken:latest';

function imageOf(cluster: DecideCluster, task: Task): string | undefined {
  return cluster.tables.revision(task.serviceId, task.specVersion)?.spec.TaskTemplate?.ContainerSpec
    ?.Image;
}
