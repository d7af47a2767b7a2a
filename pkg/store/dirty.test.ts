import { expect, test } from 'vitest';
import type {
  AppliedChange,
  InstantMs,
  NodeId,
  ServiceId,
  Task,
  TaskId,
  TaskState,
  Version,
} from '../model/index.ts';
import { DirtySet } from './dirty.ts';

const AT = 1_000 as InstantMs;

function task(state: TaskState, more: Partial<Task> = {}): Task {
  return {
    id: 't1' as TaskId,
    version: 1 as Version,
    createdAt: AT,
    updatedAt: AT,
    serviceId: 's1' as ServiceId,
    serviceName: 'web',
    specVersion: 1,
    slot: 1,
    nodeId: 'n1' as NodeId,
    desiredState: 'running',
    status: { state, at: AT, message: state },
    networks: [],
    ...more,
  };
}

function dirtyAfter(before: Task | undefined, after: Task | undefined): DirtySet {
  const action = before ? (after ? 'update' : 'remove') : 'create';
  const change: AppliedChange = { action, kind: 'task', before, after };
  const dirty = new DirtySet();
  dirty.add([change]);
  expect([...dirty.tasks]).toEqual(['t1']);
  return dirty;
}

test('a task that comes nearer to running does not make its service dirty', () => {
  expect(dirtyAfter(task('assigned'), task('starting')).services.size).toBe(0);
  expect(dirtyAfter(task('starting'), task('running')).services.size).toBe(0);
});

test.each([
  ['is made', undefined, task('new')],
  ['is placed', task('pending', { nodeId: undefined }), task('assigned')],
  ['fails', task('running'), task('failed')],
  ['is told to stop', task('running'), task('running', { desiredState: 'shutdown' })],
  [
    'says that it stopped',
    task('running', { desiredState: 'shutdown' }),
    task('shutdown', { desiredState: 'shutdown' }),
  ],
  ['is let go', task('ready', { desiredState: 'ready' }), task('ready')],
  [
    'is ready and held',
    task('preparing', { desiredState: 'ready' }),
    task('ready', { desiredState: 'ready' }),
  ],
  ['is reachable', task('running'), task('running', { reachable: true })],
  ['is gone', task('shutdown'), undefined],
])('a task that %s does', (_, before, after) => {
  expect([...dirtyAfter(before, after).services]).toEqual(['s1']);
});
