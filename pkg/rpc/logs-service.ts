import { create } from '@bufbuild/protobuf';
import type { TaskId } from '../model/index.ts';
import type { RpcClient } from './client.ts';
import { decodeJson, encodeJson } from './codec.ts';
import {
  LogBatchSchema,
  type LogRecord as LogRecordEnvelope,
  LogRecordSchema,
  Logs,
  type PublishBatch,
  PublishBatchSchema,
  ReadRequestSchema,
} from './gen/logs.pb.ts';
import { type Caller, type ServiceBinding, streaming } from './server.ts';
import type { LogReadRequest, LogRecord } from './session-message.ts';

/** What an agent sends for one subscription. */
export interface PublishedLogs {
  readonly records: readonly LogRecord[];
  /** Why the logs of a task could not be read, one line each. */
  readonly problems: readonly string[];
}

export interface LogsHandlers {
  /** On the leader: records of tasks anywhere, as they come in. */
  read(request: LogReadRequest, signal: AbortSignal): AsyncIterable<LogRecord>;
  /** An agent delivers; returns when the agent is done or nobody reads any more. */
  publish(
    subscription: string,
    batches: AsyncIterable<PublishedLogs>,
    caller: Caller,
  ): Promise<void>;
}

/** Managers read, agents deliver. */
export function logsService(handlers: LogsHandlers): ServiceBinding {
  const { read, publish } = Logs.method;
  return {
    service: Logs,
    methods: [
      streaming(read, ['manager'], async (stream) => {
        const abort = new AbortController();
        const iterator = stream[Symbol.asyncIterator]();
        const first = await iterator.next();
        if (first.done) return;
        // The reader sends nothing more: the end of its side means that it went away.
        iterator.next().then(
          () => abort.abort(),
          () => abort.abort(),
        );
        const request = decodeJson<LogReadRequest>(first.value.requestJson);
        for await (const record of handlers.read(request, abort.signal)) {
          const sent = stream.send(create(LogBatchSchema, { records: [packRecord(record)] }));
          if (!sent) await stream.drained();
        }
      }),
      streaming(publish, ['worker', 'manager'], async (stream, caller) => {
        const iterator = stream[Symbol.asyncIterator]();
        const first = await iterator.next();
        if (first.done) return;
        const batches = async function* (): AsyncGenerator<PublishedLogs> {
          for (
            let next: IteratorResult<PublishBatch> = first;
            !next.done;
            next = await iterator.next()
          ) {
            const { records, problems } = next.value;
            yield { records: records.map(unpackRecord), problems };
          }
        };
        await handlers.publish(first.value.subscription, batches(), caller);
      }),
    ],
  };
}

/** Reads logs through the manager behind `client`, which must lead. Ends with the logs, or when `signal` aborts. */
export async function* readLogs(
  client: RpcClient,
  request: LogReadRequest,
  signal?: AbortSignal,
): AsyncGenerator<LogRecord> {
  const stream = client.stream(Logs.method.read);
  const cancel = (): void => stream.cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    stream.send(create(ReadRequestSchema, { requestJson: encodeJson(request) }));
    for await (const batch of stream) yield* batch.records.map(unpackRecord);
  } catch (error) {
    if (!signal?.aborted) throw error;
  } finally {
    signal?.removeEventListener('abort', cancel);
    stream.cancel();
  }
}

/** Delivers the records of one subscription. Resolves when all were taken, or the reader went away. */
export async function publishLogs(
  client: RpcClient,
  subscription: string,
  batches: AsyncIterable<PublishedLogs>,
): Promise<void> {
  const stream = client.stream(Logs.method.publish);
  const abort = new AbortController();
  const over = drain(stream, abort);
  stream.send(create(PublishBatchSchema, { subscription }));
  const iterator = batches[Symbol.asyncIterator]();
  const gone = new Promise<IteratorResult<PublishedLogs>>((resolve) => {
    abort.signal.addEventListener('abort', () => resolve({ done: true, value: undefined }));
  });
  for (;;) {
    const next = await Promise.race([iterator.next(), gone]);
    if (next.done) break;
    const { records, problems } = next.value;
    const batch = { records: records.map(packRecord), problems: [...problems] };
    if (!stream.send(create(PublishBatchSchema, batch))) await stream.drained();
  }
  if (abort.signal.aborted) iterator.return?.().catch(() => undefined);
  stream.end();
  await over;
}

async function drain(stream: AsyncIterable<unknown>, abort: AbortController): Promise<void> {
  try {
    for await (const _ of stream);
  } catch {
    // The reader went away or the leader changed: it asks again if it still wants logs.
  } finally {
    abort.abort();
  }
}

function packRecord(record: LogRecord): LogRecordEnvelope {
  return create(LogRecordSchema, record);
}

function unpackRecord(record: LogRecordEnvelope): LogRecord {
  return {
    taskId: record.taskId as TaskId,
    nodeId: record.nodeId,
    timeNs: record.timeNs,
    stream: record.stream === 'stderr' ? 'stderr' : 'stdout',
    data: record.data,
  };
}
