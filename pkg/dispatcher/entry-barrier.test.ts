import { expect, it } from 'vitest';
import { type InstantMs, type NodeId, type TaskId, updateObject } from '../model/index.ts';
import { type Bench, bench, SERVICE, settle } from './bench.ts';

/** Two nodes with the network, and a third task that has just come up on the first. */
async function updating(): Promise<Bench> {
  const one = await bench(['1', '2']);
  const service = one.store.view.get('service', SERVICE);
  if (!service) throw new Error('no service');
  const updateStatus = {
    state: 'updating',
    message: '',
    startedAt: one.clock.now(),
    slotsTotal: 1,
    failures: 0,
    active: [],
  } as const;
  one.store.write([updateObject('service', { ...service, updateStatus })]);
  one.task('t1', '1', 'running');
  one.task('t2', '2', 'running');
  return one;
}

function isReachable(one: Bench, task: string): boolean | undefined {
  return one.store.view.get('task', task as TaskId)?.reachable;
}

it('says that a task is reachable once every node acknowledged tables with it', async () => {
  await using one = await updating();
  const [first, second] = [await one.agent('1'), await one.agent('2')];
  first.acknowledgeAll();
  second.acknowledgeAll();
  await settle();
  one.task('t3', '1', 'starting');
  one.change('t3', { state: 'running' });
  await one.clock.advance(10);
  expect(second.endpoint('t3')).toBe('in-service');
  first.acknowledgeAll();
  await settle();
  expect(isReachable(one, 't3')).toBeUndefined();
  second.acknowledgeAll();
  await settle();
  expect(isReachable(one, 't3')).toBe(true);
});

it('is found out for the replacement of a task that moves', async () => {
  await using one = await bench(['1', '2']);
  const [first, second] = [await one.agent('1'), await one.agent('2')];
  one.task('t1', '1', 'running');
  const old = one.store.view.get('task', 't1' as TaskId);
  if (!old) throw new Error('no task');
  const move = { node: '2' as NodeId, at: one.clock.now() as InstantMs };
  one.store.write([updateObject('task', { ...old, move })]);
  one.task('t2', '2', 'running');
  await one.clock.advance(10);
  first.acknowledgeAll();
  await settle();
  expect(isReachable(one, 't2')).toBeUndefined();
  second.acknowledgeAll();
  await settle();
  expect(isReachable(one, 't2')).toBe(true);
});

it('waits for nobody that is down', async () => {
  await using one = await updating();
  const [first, second] = [await one.agent('1'), await one.agent('2')];
  second.acknowledgeAll();
  await settle();
  one.task('t3', '1', 'running');
  await one.clock.advance(10);
  first.acknowledgeAll();
  for (let second = 0; second < 4; second++) {
    expect(isReachable(one, 't3')).toBeUndefined();
    await one.clock.advance(900);
    first.say({ kind: 'heartbeat' });
    await settle();
  }
  expect(one.node('2')?.status.state).toBe('down');
  expect(isReachable(one, 't3')).toBe(true);
});

it('is found out by a new leader from the sessions that begin with it', async () => {
  await using one = await updating();
  one.store.lead(false);
  one.store.lead(true);
  const [first, second] = [await one.agent('1'), await one.agent('2')];
  await one.clock.advance(10);
  first.acknowledgeAll();
  await settle();
  expect(isReachable(one, 't1')).toBeUndefined();
  second.acknowledgeAll();
  await settle();
  expect(isReachable(one, 't1')).toBe(true);
});

it('is known at once of nodes that acknowledged before anybody asked', async () => {
  await using one = await updating();
  one.store.lead(false);
  one.store.lead(true);
  for (const name of ['1', '2']) (await one.agent(name)).acknowledgeAll();
  await one.clock.advance(10);
  expect(isReachable(one, 't1')).toBe(true);
});

/** Two nodes, the first of which is emptied, and a task beside the one that runs there. */
async function draining(): Promise<Bench> {
  const one = await bench(['1', '2']);
  one.task('t1', '1', 'running');
  const node = one.node('1');
  if (!node) throw new Error('no node');
  one.store.write([
    updateObject('node', { ...node, spec: { ...node.spec, Availability: 'drain' } }),
  ]);
  one.task('t2', '2', 'starting');
  return one;
}

it('finds out about what takes over from a drained node, and about nothing else', async () => {
  await using one = await draining();
  const [first, second] = [await one.agent('1'), await one.agent('2')];
  one.task('another', '2', 'starting');
  const another = one.store.view.get('task', 'another' as TaskId);
  if (!another) throw new Error('no task');
  one.store.write([updateObject('task', { ...another, slot: 7 })]);
  one.change('t2', { state: 'running' });
  one.change('another', { state: 'running' });
  await one.clock.advance(10);
  second.acknowledgeAll();
  await settle();
  expect(isReachable(one, 't2')).toBeUndefined();
  first.acknowledgeAll();
  await settle();
  expect(isReachable(one, 't2')).toBe(true);
  expect(isReachable(one, 'another')).toBeUndefined();
});

it('goes on with a drain when the leader changes', async () => {
  await using one = await draining();
  one.change('t2', { state: 'running' });
  one.store.lead(false);
  one.store.lead(true);
  const [first, second] = [await one.agent('1'), await one.agent('2')];
  await one.clock.advance(10);
  first.acknowledgeAll();
  await settle();
  expect(isReachable(one, 't2')).toBeUndefined();
  second.acknowledgeAll();
  await settle();
  expect(isReachable(one, 't2')).toBe(true);
});

it('writes nothing for a service that is not updated', async () => {
  await using one = await bench(['1', '2']);
  one.task('t1', '1', 'running');
  const agent = await one.agent('1');
  agent.acknowledgeAll();
  await one.clock.advance(10);
  expect(isReachable(one, 't1')).toBeUndefined();
});
