import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Task, View } from '../../model/index.ts';
import type { ClusterLogRecord, ClusterLogRequest } from '../cluster-api.ts';
import { type ClusterContext, freshView } from '../context.ts';
import { invalid } from '../failure.ts';
import { frame, logFailure, streamContentType } from '../frames.ts';
import { findService, findTask } from '../lookup.ts';
import { pathParameter, queryFlag, queryTail, queryTimeNs } from '../query.ts';
import { abortOnClose, beginStream, writeAll } from '../stream.ts';
import { taskServiceSpec } from '../wire/task.ts';
import { nanoTimeText } from '../wire/time.ts';

/** `docker service logs`: the logs of tasks, wherever they run. */
export function logRoutes(app: FastifyInstance, context: ClusterContext): void {
  app.get('/services/:id/logs', async (request, reply) => {
    const view = await freshView(context);
    const service = findService(view, pathParameter(request, 'id'));
    const tasks = [...view.tasksOfService(service.id)];
    const tty = service.spec.TaskTemplate?.ContainerSpec?.TTY === true;
    return await sendLogs(context, { request, reply }, { tasks, tty, serviceId: service.id });
  });

  app.get('/tasks/:id/logs', async (request, reply) => {
    const view = await freshView(context);
    const task = findTask(view, pathParameter(request, 'id'));
    return await sendLogs(context, { request, reply }, { tasks: [task], tty: hasTty(view, task) });
  });
}

interface LogSelection {
  readonly tasks: readonly Task[];
  readonly tty: boolean;
  readonly serviceId?: string | undefined;
}

async function sendLogs(
  context: ClusterContext,
  { request, reply }: { readonly request: FastifyRequest; readonly reply: FastifyReply },
  selection: LogSelection,
): Promise<FastifyReply> {
  const stdout = queryFlag(request, 'stdout');
  const stderr = queryFlag(request, 'stderr');
  if (!stdout && !stderr) {
    throw invalid('Bad parameters: you must choose at least one stream');
  }
  const asked: ClusterLogRequest = {
    tasks: selection.tasks.filter((task) => task.nodeId !== undefined).map((task) => task.id),
    serviceId: selection.serviceId,
    follow: queryFlag(request, 'follow'),
    stdout,
    stderr,
    sinceNs: queryTimeNs(request, 'since'),
    tail: queryTail(request),
    signal: abortOnClose(reply),
  };
  const timestamps = queryFlag(request, 'timestamps');
  const details = queryFlag(request, 'details');
  const tasks = new Map(selection.tasks.map((task): [string, Task] => [task.id, task]));
  const line = (record: ClusterLogRecord): Uint8Array => {
    const prefix = details ? `${detailsText(record, tasks, selection.serviceId)} ` : '';
    const bytes = withPrefix(
      record,
      `${timestamps ? `${nanoTimeText(record.timeNs)} ` : ''}${prefix}`,
    );
    return selection.tty ? bytes : frame(record.stream, bytes);
  };
  const failed = (message: string): Uint8Array => logFailure(selection.tty, message);
  const response = beginStream(reply, streamContentType(selection.tty));
  await writeAll(response, context.cluster.logs(asked), line, failed);
  return reply;
}

function hasTty(view: View, task: Task): boolean {
  return taskServiceSpec(view, task)?.TaskTemplate?.ContainerSpec?.TTY === true;
}

function withPrefix(record: ClusterLogRecord, prefix: string): Uint8Array {
  return prefix === '' ? record.data : Buffer.concat([Buffer.from(prefix), record.data]);
}

/** Sorted by key, values escaped as in a URL: the CLI parses this to name task and node. */
function detailsText(
  record: ClusterLogRecord,
  tasks: ReadonlyMap<string, Task>,
  serviceId: string | undefined,
): string {
  const service = serviceId ?? tasks.get(record.taskId)?.serviceId ?? '';
  return [
    `com.docker.swarm.node.id=${encodeURIComponent(record.nodeId)}`,
    `com.docker.swarm.service.id=${encodeURIComponent(service)}`,
    `com.docker.swarm.task.id=${encodeURIComponent(record.taskId)}`,
  ].join(',');
}
