import type { TaskEngine } from '../engine/index.ts';
import type { Logger } from '../io/index.ts';
import { ClusterError, errorMessage, type TaskId } from '../model/index.ts';
import {
  ItemQueue,
  type LogRecord,
  type LogTaskRequest,
  type PublishedLogs,
} from '../rpc/index.ts';
import type { ManagerLink } from './manager-link.ts';

const QUEUED_MAX = 1_000;
const NANOS_PER_MS = 1_000_000n;

/** Answers the leader's requests for logs of this node's tasks. */
export class LogPublisher {
  readonly #engine: TaskEngine;
  readonly #nodeId: string;
  readonly #log: Logger;
  readonly #running = new Map<string, AbortController>();

  constructor(options: {
    readonly engine: TaskEngine;
    readonly nodeId: string;
    readonly log: Logger;
  }) {
    this.#engine = options.engine;
    this.#nodeId = options.nodeId;
    this.#log = options.log;
  }

  start(subscription: string, request: LogTaskRequest, link: ManagerLink): void {
    const abort = new AbortController();
    this.#running.set(subscription, abort);
    this.#publish(subscription, request, { link, signal: abort.signal })
      .catch((error: unknown) => {
        this.#log.warn('logs not delivered', { subscription, error: errorMessage(error) });
      })
      .finally(() => {
        abort.abort();
        this.#running.delete(subscription);
      });
  }

  end(subscription: string): void {
    this.#running.get(subscription)?.abort();
  }

  endAll(): void {
    for (const abort of this.#running.values()) abort.abort();
  }

  async #publish(
    subscription: string,
    { taskIds, options }: LogTaskRequest,
    { link, signal }: { readonly link: ManagerLink; readonly signal: AbortSignal },
  ): Promise<void> {
    const records = new ItemQueue<LogRecord>(QUEUED_MAX);
    const problems: string[] = [];
    signal.addEventListener('abort', () => records.close(), { once: true });
    const readers = taskIds.map(async (taskId) => {
      try {
        for await (const record of this.#read(taskId, options, signal)) {
          await records.push([record]);
        }
      } catch (error) {
        if (!signal.aborted && !isAbsent(error))
          problems.push(`task ${taskId}: ${errorMessage(error)}`);
      }
    });
    Promise.all(readers).then(
      () => records.close(),
      () => records.close(),
    );
    await link.publishLogs(subscription, batchesOf(records, problems));
  }

  async *#read(
    taskId: TaskId,
    { follow, stdout, stderr, tail, sinceMs, untilMs }: LogTaskRequest['options'],
    signal: AbortSignal,
  ): AsyncGenerator<LogRecord> {
    const lines = this.#engine.taskLogs(taskId, {
      follow,
      stdout,
      stderr,
      tail,
      since: nanosOf(sinceMs),
      until: nanosOf(untilMs),
      signal,
    });
    for await (const { timeNs, stream, data } of lines) {
      if (signal.aborted) return;
      yield { taskId, nodeId: this.#nodeId, timeNs, stream, data };
    }
  }
}

async function* batchesOf(
  records: ItemQueue<LogRecord>,
  problems: readonly string[],
): AsyncGenerator<PublishedLogs> {
  for await (const batch of records.batches()) yield { records: batch, problems: [] };
  if (problems.length > 0) yield { records: [], problems };
}

function nanosOf(ms: number | undefined): bigint | undefined {
  return ms === undefined ? undefined : BigInt(Math.round(ms)) * NANOS_PER_MS;
}

/** The task was removed meanwhile, or never got as far as a container: it has no logs. */
function isAbsent(error: unknown): boolean {
  return error instanceof ClusterError && error.kind === 'not-found';
}
