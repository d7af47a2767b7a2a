import { describe, expect, it } from 'vitest';
import {
  type NodeId,
  type Task,
  type TaskId,
  type TaskState,
  type TaskStatus,
  updateObject,
  VERSION_NONE,
} from '../model/index.ts';
import { AT, bench, NET, SECRET, SERVICE, settle } from './bench.ts';

describe('registration', () => {
  it('makes the node ready with its description and address', async () => {
    await using one = await bench();
    const agent = await one.agent('1');
    expect(one.node('1')).toMatchObject({
      status: { state: 'ready', address: '192.0.2.1' },
      description: { hostname: 'host' },
    });
    expect(agent.received.map(({ kind }) => kind)).toEqual(['welcome', 'role', 'assignments']);
    expect(agent.assignments()[0]).toMatchObject({ sequence: 1, complete: true });
  });

  it('points to the leader when this manager does not lead', async () => {
    await using one = await bench();
    one.store.lead(false);
    one.store.leaderMember = { raftId: 7, nodeId: '9' as NodeId, address: '192.0.2.9:2377' };
    const agent = await one.agent('1');
    expect(agent.received).toEqual([{ kind: 'redirect', leader: '192.0.2.9:2377' }]);
    expect(agent.done).toBe(true);
  });

  it('refuses a node that is not in the store', async () => {
    await using one = await bench();
    const agent = await one.agent('5');
    expect(agent.failure).toMatchObject({ kind: 'forbidden' });
  });

  it('ends the sessions when leadership ends', async () => {
    await using one = await bench();
    const agent = await one.agent('1');
    one.store.lead(false);
    await settle();
    expect(agent.done).toBe(true);
    expect(agent.received.at(-1)).toEqual({ kind: 'redirect', leader: '' });
  });

  it('tells a node which role the cluster wants it to have', async () => {
    await using one = await bench();
    const agent = await one.agent('1');
    const node = one.node('1');
    if (!node) throw new Error('no node');
    one.store.write([updateObject('node', { ...node, spec: { ...node.spec, Role: 'manager' } })]);
    const roles = agent.received.filter(({ kind }) => kind === 'role');
    expect(roles).toEqual([
      { kind: 'role', role: 'worker' },
      { kind: 'role', role: 'manager' },
    ]);
  });

  it('tells every node of other managers as soon as there are any', async () => {
    await using one = await bench();
    const agent = await one.agent('1');
    const address = '192.0.2.9:2377';
    one.store.leaderMember = { raftId: 9, nodeId: '9' as NodeId, address };
    const node = one.node('1');
    if (node) one.store.write([updateObject('node', node)]);
    await settle();
    expect(agent.received.at(-1)).toEqual({ kind: 'managers', addresses: [address] });
  });

  it('ends the session of a node that is removed', async () => {
    await using one = await bench();
    const agent = await one.agent('1');
    const node = one.node('1');
    one.store.write([
      { action: 'remove', kind: 'node', id: '1' as NodeId, seen: node?.version ?? VERSION_NONE },
    ]);
    await settle();
    expect(agent.done).toBe(true);
  });
});

describe('heartbeats', () => {
  it('keep a node ready; three seconds without make it down', async () => {
    await using one = await bench();
    const agent = await one.agent('1');
    for (let second = 0; second < 5; second += 1) {
      await one.clock.advance(1_000);
      agent.say({ kind: 'heartbeat' });
      await settle();
    }
    expect(agent.received.at(-1)).toEqual({ kind: 'alive' });
    await one.clock.advance(2_999);
    expect(one.node('1')?.status.state).toBe('ready');
    await one.clock.advance(1);
    expect(one.node('1')?.status).toMatchObject({ state: 'down', message: 'heartbeat failure' });
    expect(agent.done).toBe(true);
  });

  it('give an agent that hung up the same three seconds to come back', async () => {
    await using one = await bench();
    (await one.agent('1')).hangUp();
    await one.clock.advance(2_900);
    expect(one.node('1')?.status.state).toBe('ready');
    const back = await one.agent('1');
    await one.clock.advance(200);
    expect(one.node('1')?.status.state).toBe('ready');
    expect(back.done).toBe(false);
  });

  it('count from the beginning of leadership for nodes that a new leader has not heard yet', async () => {
    await using one = await bench();
    await one.agent('1');
    one.store.lead(false);
    await one.clock.advance(60_000);
    expect(one.node('1')?.status.state).toBe('ready');
    one.store.lead(true);
    await one.clock.advance(2_999);
    expect(one.node('1')?.status.state).toBe('ready');
    await one.clock.advance(1);
    expect(one.node('1')?.status.state).toBe('down');
  });
});

describe('assignments', () => {
  it('begin complete, with the tasks of the node and what they need', async () => {
    await using one = await bench();
    one.task('t1', '1', 'assigned');
    one.task('t2', '2', 'assigned');
    const agent = await one.agent('1');
    const changes = agent.assignments()[0]?.changes;
    expect(changes?.tasks.map(({ task }) => task.id)).toEqual(['t1']);
    expect(changes?.tasks[0]?.spec.TaskTemplate?.ContainerSpec?.Image).toBe('x');
    expect(changes?.secrets.map(({ spec }) => spec.Data)).toEqual(['c2VjcmV0']);
    expect(changes?.networks.map(({ endpoints }) => endpoints.length)).toEqual([2]);
  });

  it('carry the credentials that the image of the service is pulled with', async () => {
    await using one = await bench();
    const service = one.store.view.get('service', SERVICE);
    if (!service) throw new Error('no service');
    one.store.write([updateObject('service', { ...service, registryAuth: { username: 'ann' } })]);
    one.task('t1', '1', 'assigned');
    const agent = await one.agent('1');
    expect(agent.assignments()[0]?.changes.tasks[0]?.registryAuth).toEqual({ username: 'ann' });
  });

  it('leave out what is not placed yet and what was given up', async () => {
    await using one = await bench();
    one.task('t1', '1', 'pending');
    one.task('t2', '1', 'orphaned');
    const agent = await one.agent('1');
    expect(agent.assignments()[0]?.changes.tasks).toEqual([]);
  });

  it('go on with differences only', async () => {
    await using one = await bench();
    const agent = await one.agent('1');
    one.task('t1', '1', 'assigned');
    await one.clock.advance(10);
    expect(agent.assignments()).toHaveLength(2);
    expect(agent.assignments()[1]).toMatchObject({
      sequence: 2,
      complete: false,
      changes: { tasks: [{ task: { id: 't1' } }], secrets: [{ id: SECRET }], removedTasks: [] },
    });
    one.change('t1', { state: 'accepted' });
    await one.clock.advance(10);
    expect(agent.assignments()).toHaveLength(2);
    one.change('t1', { state: 'failed' });
    await one.clock.advance(10);
    expect(agent.assignments()[2]?.changes).toMatchObject({
      removedSecrets: [SECRET],
      removedNetworks: [NET],
      removedTasks: [],
    });
    const task = one.store.view.get('task', 't1' as TaskId);
    one.store.write([
      { action: 'remove', kind: 'task', id: 't1' as TaskId, seen: task?.version ?? VERSION_NONE },
    ]);
    await one.clock.advance(10);
    expect(agent.assignments()[3]?.changes.removedTasks).toEqual(['t1']);
  });

  it('stop a task that a manager ended by itself', async () => {
    await using one = await bench();
    one.task('t1', '1', 'running');
    const agent = await one.agent('1');
    expect(agent.desired('t1')).toBe('running');
    one.change('t1', { state: 'rejected' });
    await one.clock.advance(10);
    expect(agent.desired('t1')).toBe('shutdown');
  });
});

describe('a changed assignment', () => {
  it('is told at once after a rest, what comes close behind together', async () => {
    await using one = await bench();
    const agent = await one.agent('1');
    await one.clock.advance(50);
    one.task('t1', '1', 'assigned');
    await one.clock.advance(0);
    expect(agent.assignments()).toHaveLength(2);
    one.task('t2', '1', 'assigned');
    await one.clock.advance(1);
    one.task('t3', '1', 'assigned');
    await one.clock.advance(0);
    expect(agent.assignments()).toHaveLength(2);
    await one.clock.advance(1);
    expect(agent.assignments()).toHaveLength(3);
    expect(agent.assignments()[2]?.changes.tasks.map(({ task }) => task.id)).toEqual(['t2', 't3']);
  });
});

describe('network tables', () => {
  it('tell every node of the network when a task comes into service', async () => {
    await using one = await bench();
    one.task('t1', '1', 'starting');
    one.task('t2', '2', 'starting');
    const [first, second] = [await one.agent('1'), await one.agent('2')];
    expect(second.endpoint('t1')).toBe('out');
    one.change('t1', { state: 'running' });
    await one.clock.advance(10);
    expect(first.endpoint('t1')).toBe('in-service');
    expect(second.endpoint('t1')).toBe('in-service');
  });

  it('carry the endpoints and nodes that changed, and whole tables when more did', async () => {
    await using one = await bench();
    one.task('t1', '1', 'starting');
    one.task('t2', '2', 'starting');
    const agent = await one.agent('1');
    one.change('t1', { state: 'running' });
    await one.clock.advance(10);
    expect(agent.assignments().at(-1)?.changes).toMatchObject({
      networks: [],
      networkPatches: [
        {
          networkId: NET,
          endpoints: [{ taskId: 't1', state: 'in-service' }],
          removedEndpoints: [],
        },
      ],
    });
    one.change('t2', { state: 'failed' });
    await one.clock.advance(10);
    expect(agent.assignments().at(-1)?.changes.networkPatches).toMatchObject([
      { endpoints: [], removedEndpoints: ['t2'] },
    ]);
    await one.agent('2');
    await one.clock.advance(150);
    expect(agent.assignments().at(-1)?.changes).toMatchObject({
      networks: [],
      networkPatches: [{ peers: [{ nodeId: '2' }], removedPeers: [], endpoints: [] }],
    });
    const network = one.store.view.get('network', NET);
    if (!network) throw new Error('no network');
    const spec = { ...network.spec, Internal: true };
    one.store.write([updateObject('network', { ...network, spec })]);
    await one.clock.advance(10);
    expect(agent.assignments().at(-1)?.changes).toMatchObject({
      networks: [{ peers: [{ nodeId: '1' }, { nodeId: '2' }], endpoints: [{ taskId: 't1' }] }],
      networkPatches: [],
    });
  });
});

describe('nodes that join', () => {
  it('are told to the others together', async () => {
    await using one = await bench(['1', '2', '3', '4']);
    one.task('t1', '1', 'running');
    const agent = await one.agent('1');
    await one.clock.advance(150);
    const before = agent.assignments().length;
    for (const name of ['2', '3', '4']) await one.agent(name);
    await one.clock.advance(10);
    expect(agent.assignments().length).toBe(before);
    await one.clock.advance(150);
    expect(agent.assignments().length).toBe(before + 1);
    const [patch] = agent.assignments().at(-1)?.changes.networkPatches ?? [];
    expect(patch?.peers.map(({ nodeId }) => nodeId)).toEqual(['2', '3', '4']);
  });

  it('are in the tables of what runs on them from the beginning', async () => {
    await using one = await bench(['1', '2']);
    one.task('t1', '1', 'running');
    const agent = await one.agent('1');
    await one.clock.advance(150);
    await one.agent('2');
    one.task('t2', '2', 'running');
    await one.clock.advance(10);
    const [patch] = agent.assignments().at(-1)?.changes.networkPatches ?? [];
    expect(patch).toMatchObject({ peers: [{ nodeId: '2' }], endpoints: [{ taskId: 't2' }] });
  });
});

describe('status reports', () => {
  const status = (state: TaskState): TaskStatus => ({ state, at: AT, message: state });

  it('are answered once they are in the store, and never move a state left', async () => {
    await using one = await bench();
    one.task('t1', '1', 'assigned');
    const agent = await one.agent('1');
    agent.say({
      kind: 'report',
      number: 1,
      statuses: [{ taskId: 't1' as TaskId, status: status('running') }],
    });
    await one.clock.advance(20);
    agent.say({
      kind: 'report',
      number: 2,
      statuses: [{ taskId: 't1' as TaskId, status: status('starting') }],
    });
    await one.clock.advance(20);
    const after = one.store.view.get('task', 't1' as TaskId)?.status;
    expect(after?.state).toBe('running');
    expect(after?.at).toBeGreaterThan(one.clock.now() - 100);
    expect(agent.received).toContainEqual({ kind: 'reported', number: 2 });
  });

  it('are written at once after a rest, and what comes close behind together', async () => {
    await using one = await bench();
    for (const id of ['t1', 't2', 't3']) one.task(id, '1', 'assigned');
    const agent = await one.agent('1');
    await one.clock.advance(50);
    const stateOf = (id: string): TaskState | undefined =>
      one.store.view.get('task', id as TaskId)?.status.state;
    const say = async (number: number, id: string): Promise<void> => {
      const statuses = [{ taskId: id as TaskId, status: status('running') }];
      agent.say({ kind: 'report', number, statuses });
      await one.clock.advance(0);
    };
    await say(1, 't1');
    expect(stateOf('t1')).toBe('running');
    const written = one.store.view.index;
    await say(2, 't2');
    await say(3, 't3');
    expect(one.store.view.index).toBe(written);
    await one.clock.advance(2);
    expect([stateOf('t2'), stateOf('t3')]).toEqual(['running', 'running']);
    expect(one.store.view.index).toBe(written + 1);
  });

  it('count for tasks of that node only', async () => {
    await using one = await bench();
    one.task('t1', '1', 'assigned');
    const stranger = await one.agent('2');
    stranger.say({
      kind: 'report',
      number: 1,
      statuses: [{ taskId: 't1' as TaskId, status: status('failed') }],
    });
    await one.clock.advance(20);
    expect(one.store.view.get('task', 't1' as TaskId)?.status.state).toBe('assigned');
  });

  it('of an older session are refused', async () => {
    await using one = await bench();
    one.task('t1', '1', 'assigned');
    const old = await one.agent('1');
    await one.agent('1');
    old.say({
      kind: 'report',
      number: 1,
      statuses: [{ taskId: 't1' as TaskId, status: status('failed') }],
    });
    await one.clock.advance(20);
    expect(old.done).toBe(true);
    expect(one.store.view.get('task', 't1' as TaskId)?.status.state).toBe('assigned');
  });
});

it('a task that was told to stop keeps the reason why, whatever its node reports', async () => {
  await using one = await bench();
  one.task('t1', '1', 'running');
  const agent = await one.agent('1');
  const of = (): Task | undefined => one.store.view.get('task', 't1' as TaskId);
  const task = of() as Task;
  const told = { ...task.status, error: 'preempted' };
  await one.store.update((draft) =>
    draft.add(updateObject('task', { ...task, desiredState: 'shutdown', status: told })),
  );
  const statuses = [
    { taskId: task.id, status: { state: 'shutdown', at: AT, message: 'shutdown' } as const },
  ];
  agent.say({ kind: 'report', number: 1, statuses });
  await one.clock.advance(20);
  expect(of()?.status).toMatchObject({ state: 'shutdown', error: 'preempted' });
});
