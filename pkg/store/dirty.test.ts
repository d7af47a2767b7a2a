import { expect, test } from 'vitest';
import {
  type AppliedChange,
  type InstantMs,
  type NodeId,
  type Service,
  type ServiceId,
  Tables,
  type Task,
  type TaskId,
  type TaskState,
  type Version,
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
  const dirty = dirtyAfter(before, after);
  expect([...dirty.services]).toEqual(['s1']);
  expect(dirty.slots.get('s1' as ServiceId)).toEqual(new Set([1]));
});

test('of a service that changed itself every slot counts, whatever comes before, behind or by a merge', () => {
  const id = 's1' as ServiceId;
  const one: AppliedChange = {
    action: 'create',
    kind: 'task',
    before: undefined,
    after: task('new'),
  };
  const other: AppliedChange = { ...one, after: task('new', { slot: 2 }) };
  const service = { id } as Service;
  const itself: AppliedChange = {
    action: 'update',
    kind: 'service',
    before: service,
    after: service,
  };
  const dirtyOf = (...changes: AppliedChange[]): DirtySet => {
    const dirty = new DirtySet();
    dirty.add(changes);
    return dirty;
  };
  const merged = (left: DirtySet, right: DirtySet): DirtySet => {
    left.merge(right);
    return left;
  };
  expect(dirtyOf(one, other).slots.get(id)).toEqual(new Set([1, 2]));
  expect(merged(dirtyOf(one), dirtyOf(other)).slots.get(id)).toEqual(new Set([1, 2]));
  const tables = new Tables();
  tables.restore('service', { id, spec: {} } as Service);
  const everything = dirtyOf(one);
  for (const _ of everything.addingEverything(tables));
  for (const whole of [
    everything,
    dirtyOf(one, itself),
    dirtyOf(itself, one),
    merged(dirtyOf(one), dirtyOf(itself)),
    merged(dirtyOf(itself), dirtyOf(one)),
  ]) {
    expect([...whole.services]).toEqual([id]);
    expect(whole.slots.has(id)).toBe(false);
  }
});

test('a new leader starts with every service of which there is a task, also when it is gone', () => {
  const tables = new Tables();
  tables.restore('task', task('new', { nodeId: undefined }));
  const dirty = DirtySet.everything(tables);
  expect([...dirty.services]).toEqual(['s1']);
  expect(dirty.slots.size).toBe(0);
});
