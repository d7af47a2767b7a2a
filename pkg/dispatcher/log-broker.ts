import {
  ClusterError,
  compareTaskState,
  isTerminal,
  type NodeId,
  type Task,
  type TaskId,
  type View,
} from '../model/index.ts';
import {
  ItemQueue,
  type LogReadRequest,
  type LogRecord,
  type LogTaskRequest,
  type ManagerMessage,
  type PublishedLogs,
} from '../rpc/index.ts';

/** How the broker reaches agents. */
export interface LogBrokerOptions {
  readonly view: View;
  readonly newId: () => string;
  /** False when the node has no session. */
  readonly send: (nodeId: NodeId, message: ManagerMessage) => boolean;
}

interface Subscription {
  readonly id: string;
  readonly request: LogReadRequest;
  readonly queue: ItemQueue<LogRecord>;
  /** Tasks that were asked for. */
  readonly asked: Set<TaskId>;
  /** One per message sent; emptied as agents finish. */
  readonly open: Map<string, { readonly nodeId: NodeId; readonly taskIds: readonly TaskId[] }>;
  readonly problems: string[];
  /** Time of the newest record from each node: where to go on after its agent was away. */
  readonly newest: Map<NodeId, bigint>;
  parts: number;
}

const QUEUED_RECORDS_MAX = 1_000;
const NANOS_PER_MS = 1_000_000n;

/** Brings the logs of tasks, wherever they run, to whoever reads them. Lives on the leader. */
export class LogBroker {
  readonly #options: LogBrokerOptions;
  readonly #subscriptions = new Map<string, Subscription>();

  constructor(options: LogBrokerOptions) {
    this.#options = options;
  }

  /**
   * Records in the order in which agents deliver them. Without `follow` it ends when all have; then it throws
   * `unavailable` when some could not be had. With `follow` it takes in tasks that come later.
   */
  async *read(request: LogReadRequest, signal: AbortSignal): AsyncGenerator<LogRecord> {
    const subscription: Subscription = {
      id: this.#options.newId(),
      request,
      queue: new ItemQueue(QUEUED_RECORDS_MAX),
      asked: new Set(),
      open: new Map(),
      problems: [],
      newest: new Map(),
      parts: 0,
    };
    const stop = (): void => subscription.queue.close();
    signal.addEventListener('abort', stop, { once: true });
    this.#subscriptions.set(subscription.id, subscription);
    try {
      this.#ask(subscription);
      this.#closeIfDone(subscription);
      if (!signal.aborted) yield* subscription.queue;
    } finally {
      signal.removeEventListener('abort', stop);
      this.#subscriptions.delete(subscription.id);
      subscription.queue.close();
      for (const [part, { nodeId }] of subscription.open) {
        this.#options.send(nodeId, { kind: 'log-end', subscription: part });
      }
    }
  }

  /** An agent delivers one part of a subscription. */
  async publish(
    part: string,
    batches: AsyncIterable<PublishedLogs>,
    nodeId: NodeId,
  ): Promise<void> {
    const subscription = this.#subscriptions.get(part.split('/', 1)[0] ?? '');
    const asked = subscription?.open.get(part);
    if (!subscription || asked?.nodeId !== nodeId) return;
    try {
      for await (const { records, problems } of batches) {
        subscription.problems.push(...problems);
        const own = records.filter(({ taskId }) => asked.taskIds.includes(taskId));
        for (const { timeNs } of own) {
          if (timeNs > (subscription.newest.get(nodeId) ?? 0n)) {
            subscription.newest.set(nodeId, timeNs);
          }
        }
        await subscription.queue.push(own.map((record) => ({ ...record, nodeId })));
        if (subscription.queue.isClosed) break;
      }
    } finally {
      subscription.open.delete(part);
      this.#closeIfDone(subscription);
    }
  }

  /** A task changed: followers may want it. */
  noteTask(task: Task): void {
    for (const subscription of this.#subscriptions.values()) {
      if (!subscription.request.options.follow || subscription.asked.has(task.id)) continue;
      if (wanted(subscription.request, task)) this.#ask(subscription);
    }
  }

  /** The node's session ended: what it still owed will not come. */
  noteSessionEnd(nodeId: NodeId): void {
    for (const subscription of this.#subscriptions.values()) {
      for (const [part, asked] of subscription.open) {
        if (asked.nodeId !== nodeId) continue;
        subscription.open.delete(part);
        subscription.problems.push(`node ${nodeId} disconnected`);
      }
      this.#closeIfDone(subscription);
    }
  }

  /** The node is back: followers go on where they were. */
  noteSessionBegin(nodeId: NodeId): void {
    for (const subscription of this.#subscriptions.values()) {
      const { request, newest, asked } = subscription;
      if (!request.options.follow) continue;
      const again = this.#candidates(request).filter(
        (task) => task.nodeId === nodeId && asked.has(task.id) && !isTerminal(task.status.state),
      );
      const since = newest.get(nodeId);
      const options =
        since === undefined
          ? request.options
          : { ...request.options, sinceMs: Number(since / NANOS_PER_MS) + 1, tail: undefined };
      if (again.length > 0) {
        this.#send(subscription, nodeId, { taskIds: again.map(({ id }) => id), options });
      }
      this.#ask(subscription);
    }
  }

  /** This manager does not lead any more. */
  close(): void {
    const error = new ClusterError('unavailable', 'the leader changed while logs were read');
    for (const { queue } of this.#subscriptions.values()) queue.close(error);
    this.#subscriptions.clear();
  }

  #ask(subscription: Subscription): void {
    const byNode = new Map<NodeId, TaskId[]>();
    for (const task of this.#candidates(subscription.request)) {
      if (subscription.asked.has(task.id) || !task.nodeId) continue;
      subscription.asked.add(task.id);
      const tasks = byNode.get(task.nodeId) ?? [];
      tasks.push(task.id);
      byNode.set(task.nodeId, tasks);
    }
    for (const [nodeId, taskIds] of byNode) {
      this.#send(subscription, nodeId, { taskIds, options: subscription.request.options });
    }
  }

  #send(subscription: Subscription, nodeId: NodeId, request: LogTaskRequest): void {
    subscription.parts += 1;
    const part = `${subscription.id}/${subscription.parts}`;
    if (this.#options.send(nodeId, { kind: 'log-request', subscription: part, request })) {
      subscription.open.set(part, { nodeId, taskIds: request.taskIds });
    } else {
      subscription.problems.push(`node ${nodeId} is not available`);
    }
  }

  #candidates({ selector, options }: LogReadRequest): readonly Task[] {
    const { view } = this.#options;
    const tasks = [
      ...selector.serviceIds.flatMap((id) => [...view.tasksOfService(id)]),
      ...selector.taskIds.flatMap((id) => view.get('task', id) ?? []),
    ];
    return tasks.filter((task) => wanted({ selector, options }, task));
  }

  #closeIfDone({ open, request, queue, problems }: Subscription): void {
    const endless = request.options.follow && request.selector.serviceIds.length > 0;
    if (open.size > 0 || endless) return;
    queue.close(problems.length > 0 ? incomplete(problems) : undefined);
  }
}

function wanted({ selector }: LogReadRequest, task: Task): boolean {
  const named = selector.serviceIds.includes(task.serviceId) || selector.taskIds.includes(task.id);
  // Before that there is no container that could have written anything.
  return (
    named &&
    compareTaskState(task.status.state, 'starting') >= 0 &&
    task.status.state !== 'rejected'
  );
}

/** Docker's words for logs that are not all there. */
function incomplete(problems: readonly string[]): ClusterError {
  const reasons = [...new Set(problems)].join(', ');
  return new ClusterError(
    'unavailable',
    `incomplete log stream. some logs could not be retrieved for the following reasons: ${reasons}`,
  );
}
