import { expect, test } from 'vitest';
import { DecideCluster, webSpec, withImage } from '../../test/sim/decide-cluster.ts';
import { type NodeId, type ServiceId, type ServiceSpec, updateObject } from '../model/index.ts';

interface Setup {
  readonly cluster: DecideCluster;
  readonly web: ServiceId;
  readonly node: NodeId;
}

function running(change: Partial<ServiceSpec> = {}): Setup {
  const cluster = new DecideCluster({ nodes: 2 });
  const web = cluster.createService({ ...webSpec({ replicas: 4 }), ...change });
  cluster.converge();
  const node = [...cluster.tables.list('node')][0]?.id as NodeId;
  return { cluster, web, node };
}

/** Lets every agent move once and passes run, and notes the fewest running tasks on the way. */
function fewestWhileDraining({ cluster, web, node }: Setup): number {
  let fewest = cluster.running(web).length;
  cluster.onApplied = (): void => {
    fewest = Math.min(fewest, cluster.running(web).length);
  };
  cluster.setAvailability(node, 'drain');
  cluster.converge();
  cluster.onApplied = undefined;
  return fewest;
}

test('a drain stops tasks at once, as Swarm does, unless the service says otherwise', () => {
  const setup = running();
  expect(fewestWhileDraining(setup)).toBe(2);
  expect(setup.cluster.running(setup.web).length).toBe(4);
});

test.each([
  ['start-first', { UpdateConfig: { Order: 'start-first' } }],
  ['min-available', { Labels: { 'muster.min-available': '50%' } }],
])('with %s the replacement runs before the task of a drained node stops', (_what, change) => {
  const setup = running(change);
  const { cluster, web, node } = setup;
  expect(fewestWhileDraining(setup)).toBe(4);
  expect(cluster.running(web).length).toBe(4);
  expect(
    [...cluster.tables.tasksOfNode(node)].filter(({ status }) => status.state === 'running'),
  ).toEqual([]);
});

test.each(['acknowledged', 'nobody answers', 'the leader changes'])(
  'on a network the task of a drained node stays until its replacement is reachable from everywhere: %s',
  (how) => {
    const cluster = new DecideCluster({ nodes: 2 });
    const network = cluster.addNetwork({ Name: 'front', Driver: 'overlay' });
    const base = webSpec({ replicas: 2, UpdateConfig: { Order: 'start-first' } });
    const TaskTemplate = { ...base.TaskTemplate, Networks: [{ Target: network.id }] };
    const web = cluster.createService({ ...base, TaskTemplate });
    cluster.converge();
    cluster.advance(10_000);
    const [old] = cluster.running(web);
    if (!old?.nodeId) throw new Error('nothing runs');
    cluster.setAvailability(old.nodeId, 'drain');
    cluster.settle();
    const wanted = (): string | undefined => cluster.tables.get('task', old.id)?.desiredState;
    const fresh = cluster.tasks(web).find(({ id, slot }) => slot === old.slot && id !== old.id);
    if (!fresh) throw new Error('two tasks expected');
    cluster.report(fresh.id, 'running');
    cluster.advance(4_999);
    expect(wanted()).toBe('running');
    if (how === 'the leader changes') cluster.elect();
    const present = cluster.tables.get('task', fresh.id);
    if (how !== 'acknowledged') cluster.advance(1);
    else if (present) cluster.apply([updateObject('task', { ...present, reachable: true })]);
    cluster.settle();
    expect(wanted()).toBe('shutdown');
  },
);

test('what cannot be replaced stays until the drain deadline, counted across leaders', () => {
  const setup = running({
    UpdateConfig: { Order: 'start-first' },
    Labels: { 'muster.drain-deadline': '90s' },
  });
  const { cluster, web, node } = setup;
  const other = [...cluster.tables.list('node')].find(({ id }) => id !== node);
  cluster.setAvailability(other?.id as NodeId, 'pause');
  cluster.setAvailability(node, 'drain');
  for (let second = 0; second < 89; second++) {
    cluster.converge();
    if (second % 20 === 0) cluster.elect();
    cluster.advance(1000);
  }
  expect(cluster.running(web).length).toBe(4);
  cluster.advance(1000);
  cluster.converge();
  expect(cluster.running(web).length).toBe(2);
});

test('an end of the drain keeps what still runs there, and the next one has its own deadline', () => {
  const setup = running({ UpdateConfig: { Order: 'start-first' } });
  const { cluster, web, node } = setup;
  const other = [...cluster.tables.list('node')].find(({ id }) => id !== node);
  cluster.setAvailability(other?.id as NodeId, 'pause');
  cluster.setAvailability(node, 'drain');
  cluster.converge();
  cluster.advance(590_000);
  cluster.setAvailability(node, 'active');
  cluster.converge();
  expect(cluster.tables.get('node', node)?.drainingSince).toBeUndefined();
  cluster.advance(20_000);
  cluster.setAvailability(node, 'drain');
  cluster.converge();
  expect(cluster.running(web).length).toBe(4);
});

test('a replacement that fails again and again is not asked for without pause', () => {
  const setup = running({ UpdateConfig: { Order: 'start-first' } });
  const { cluster, web, node } = setup;
  cluster.setAvailability(node, 'drain');
  const made = cluster.tasks(web).length;
  for (let second = 0; second < 20; second++) {
    cluster.settle();
    for (const task of cluster.runnable(web)) {
      if (task.status.state === 'assigned') cluster.report(task.id, 'rejected', 'No such image');
    }
    cluster.settle();
    cluster.advance(1000);
  }
  expect(cluster.tasks(web).length - made).toBeLessThanOrEqual(2 * 5);
  expect(cluster.running(web).length).toBe(4);
});

test('an update never takes the last tasks that must be there', () => {
  const cluster = new DecideCluster({ nodes: 2 });
  const web = cluster.createService(
    webSpec({
      replicas: 3,
      UpdateConfig: { Parallelism: 0 },
      Labels: { 'muster.min-available': '2' },
    }),
  );
  cluster.converge();
  let fewest = 3;
  cluster.onApplied = (): void => {
    fewest = Math.min(fewest, cluster.running(web).length);
  };
  cluster.updateService(web, (spec) => withImage(spec, 'nginx:2'));
  cluster.converge();
  expect(fewest).toBe(2);
  expect(cluster.running(web).every(({ specVersion }) => specVersion === 2)).toBe(true);
});
