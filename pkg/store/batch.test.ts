import { expect, test } from 'vitest';
import {
  type Change,
  createObject,
  type InstantMs,
  type NodeId,
  removeObject,
  type ServiceId,
  type Task,
  type TaskId,
  updateObject,
  VERSION_NONE,
} from '../model/index.ts';
import { placedByNode } from './batch.ts';

const AT = 1_000 as InstantMs;

function task(id: string, state: Task['status']['state'], nodeId?: string): Task {
  return {
    id: id as TaskId,
    version: VERSION_NONE,
    createdAt: AT,
    updatedAt: AT,
    serviceId: 's1' as ServiceId,
    serviceName: 'web',
    specVersion: 1,
    slot: 1,
    nodeId: nodeId as NodeId | undefined,
    desiredState: 'running',
    status: { state, at: AT, message: state },
    networks: [],
  };
}

const made = (id: string, nodeId: string): Change =>
  createObject('task', task(id, 'assigned', nodeId));

test('tasks that were given a node come last, those of one node together; all else keeps its order', () => {
  const [stopped, waits, removed] = [
    updateObject('task', { ...task('old', 'running', 'n1'), desiredState: 'shutdown' }),
    createObject('task', task('waits', 'pending')),
    removeObject('task', task('gone', 'shutdown', 'n2')),
  ];
  const placedLate = updateObject('task', task('late', 'assigned', 'n1'));
  const changes = [
    made('a', 'n1'),
    stopped,
    made('b', 'n2'),
    waits,
    made('c', 'n1'),
    removed,
    made('d', 'n2'),
    placedLate,
  ];
  expect(placedByNode(changes)).toEqual([
    ...[stopped, waits, removed],
    ...[made('a', 'n1'), made('c', 'n1'), placedLate],
    ...[made('b', 'n2'), made('d', 'n2')],
  ]);
});

test.each(['shutdown', 'remove'] as const)(
  'a task that is told to stop (%s) before it began comes before its replacement',
  (desiredState) => {
    const old = task('old', 'assigned', 'n2');
    const stopped = updateObject('task', { ...old, desiredState });
    const changes = [made('other', 'n1'), stopped, made('next', 'n2')];
    expect(placedByNode(changes)).toEqual([stopped, made('other', 'n1'), made('next', 'n2')]);
  },
);
