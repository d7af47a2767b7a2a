import type { FastifyInstance } from 'fastify';
import {
  compareText,
  slotName,
  TASK_STATES,
  type Task,
  taskName,
  type View,
} from '../../model/index.ts';
import { type ClusterContext, freshMoment, freshView } from '../context.ts';
import { invalid } from '../failure.ts';
import { type Filters, flagFilter, parseFilters } from '../filters.ts';
import { KeptPieces } from '../kept-pieces.ts';
import { findNode, findService, findTask } from '../lookup.ts';
import { pathParameter, queryText } from '../query.ts';
import { sendJson, sendKeptList } from '../reply.ts';
import {
  isUpToDate,
  renderTask,
  type TaskSource,
  taskRendering,
  taskServiceLabels,
  taskServiceSpec,
} from '../wire/task.ts';

const FILTERS = [
  'id',
  'name',
  'node',
  'service',
  'label',
  'desired-state',
  'runtime',
  '_up-to-date',
];

export function taskRoutes(app: FastifyInstance, context: ClusterContext): void {
  const kept = new KeptPieces<Task, TaskSource>();
  app.get('/tasks', async (request, reply) => {
    const filters = parseFilters(queryText(request, 'filters'), FILTERS);
    checkStates(filters);
    using view = await freshMoment(context);
    const tasks = selectTasks(view, filters);
    return await sendKeptList(reply, tasks, kept, taskRendering(view));
  });

  app.get('/tasks/:id', async (request, reply) => {
    const view = await freshView(context);
    return sendJson(reply, renderTask(view, findTask(view, pathParameter(request, 'id'))));
  });
}

function selectTasks(view: View, filters: Filters): readonly Task[] {
  const services = resolved(filters.values('service'), (asked) => findService(view, asked).id);
  const nodes = resolved(filters.values('node'), (asked) => findNode(view, asked).id);
  const upToDate = flagFilter(filters, '_up-to-date');
  if (!FILTERS.some((name) => filters.has(name))) return [...view.list('task')];
  return candidates(view, services).filter(
    (task) =>
      (services === undefined || services.includes(task.serviceId)) &&
      (nodes === undefined || (task.nodeId !== undefined && nodes.includes(task.nodeId))) &&
      matches(view, task, filters) &&
      (upToDate === undefined || isUpToDate(view, task) === upToDate),
  );
}

/** Every CLI poll names one service: do not walk through all tasks for it. */
function candidates(view: View, services: readonly string[] | undefined): readonly Task[] {
  if (services === undefined) return [...view.list('task')];
  return services
    .flatMap((id) => [...view.tasksOfService(id as Task['serviceId'])])
    .toSorted((left, right) => compareText(left.id, right.id));
}

/** Names become ids; what does not resolve is kept, since tasks outlive their service and node. */
function resolved(
  values: readonly string[],
  find: (asked: string) => string,
): readonly string[] | undefined {
  if (values.length === 0) return undefined;
  return values.map((value) => {
    try {
      return find(value);
    } catch {
      return value;
    }
  });
}

function matches(view: View, task: Task, filters: Filters): boolean {
  return (
    filters.prefix('id', task.id) &&
    (!filters.has('name') || filters.prefix('name', slotName(task), taskName(task))) &&
    filters.exact('desired-state', task.desiredState) &&
    (!filters.has('label') || filters.labels('label', taskServiceLabels(view, task))) &&
    (!filters.has('runtime') || filters.prefix('runtime', runtimeOf(view, task)))
  );
}

function runtimeOf(view: View, task: Task): string {
  return taskServiceSpec(view, task)?.TaskTemplate?.Runtime || 'container';
}

function checkStates(filters: Filters): void {
  const states: readonly string[] = TASK_STATES;
  const unknown = filters.values('desired-state').find((state) => !states.includes(state));
  if (unknown !== undefined) throw invalid(`invalid filter 'desired-state=[${unknown}]'`);
}
