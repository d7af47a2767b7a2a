import { expect, test } from 'vitest';
import {
  applyServiceUpdate,
  type Change,
  createService,
  DraftTables,
  type ServiceId,
  type ServiceSpec,
} from '../../pkg/model/index.ts';
import { DecideCluster, webSpec, withImage, withReplicas } from '../../test/sim/decide-cluster.ts';
import { type Plan, planChange } from './plan.ts';

function update(
  cluster: DecideCluster,
  id: ServiceId,
  change: (spec: ServiceSpec) => ServiceSpec,
): Promise<Plan> {
  const service = cluster.service(id);
  const { changes } = applyServiceUpdate(service, change(service.spec), cluster.now);
  return plan(cluster, id, changes);
}

function plan(
  cluster: DecideCluster,
  serviceId: ServiceId,
  changes: readonly Change[],
): Promise<Plan> {
  const draft = new DraftTables(cluster.tables);
  for (const change of changes) expect(draft.add(change)).toBeUndefined();
  return planChange(cluster.tables, draft.changes, { serviceId, now: cluster.now });
}

/** `web.1 start`, in order. */
function moves({ steps }: Plan): readonly string[] {
  return steps.flatMap(({ slot, action }) => (slot === undefined ? [] : [`${slot} ${action}`]));
}

test('a stop-first update stops and starts slot after slot', async () => {
  const cluster = new DecideCluster({ nodes: 3 });
  const UpdateConfig = { Parallelism: 1, Delay: 10e9, Monitor: 1e9 };
  const id = cluster.createService(webSpec({ UpdateConfig }));
  cluster.converge();
  const planned = await update(cluster, id, (spec) => withImage(spec, 'nginx:2'));
  expect(moves(planned)).toEqual([
    'web.1 stop',
    'web.1 start',
    'web.2 stop',
    'web.2 start',
    'web.3 stop',
    'web.3 start',
  ]);
  expect(planned).toMatchObject({
    runningBefore: 3,
    runningMin: 2,
    runningAfter: 3,
    updateState: 'completed',
    truncated: false,
    waiting: [],
  });
  // Two delays of ten seconds and three replacements of a second each, then the monitor period.
  expect(planned.durationMs).toBeGreaterThanOrEqual(23_000);
  expect(planned.durationMs).toBeLessThan(27_000);
});

test('a start-first update never has less', async () => {
  const cluster = new DecideCluster({ nodes: 3 });
  const id = cluster.createService(
    webSpec({ UpdateConfig: { Parallelism: 2, Order: 'start-first' } }),
  );
  cluster.converge();
  const planned = await update(cluster, id, (spec) => withImage(spec, 'nginx:2'));
  expect(planned.runningMin).toBe(3);
  expect(moves(planned).slice(0, 4).toSorted()).toEqual([
    'web.1 start',
    'web.1 stop',
    'web.2 start',
    'web.2 stop',
  ]);
});

test('a new service that fits only in part says what waits and what would help', async () => {
  const cluster = new DecideCluster({ nodes: 2 });
  cluster.settle();
  const Resources = { Reservations: { MemoryBytes: 6 * 2 ** 30 } };
  const spec = webSpec({ TaskTemplate: { ContainerSpec: { Image: 'nginx' }, Resources } });
  const id = 'new' as ServiceId;
  const planned = await plan(cluster, id, createService(id, spec, cluster.now).changes);
  expect(planned).toMatchObject({
    runningBefore: 0,
    runningAfter: 2,
    waiting: [
      {
        slot: 'web.3',
        placement: { suggestions: [{ text: expect.stringContaining('4096 MiB less memory') }] },
      },
    ],
  });
});

test('a plan leaves the cluster alone, and is what then happens', async () => {
  const cluster = new DecideCluster({ nodes: 3 });
  const id = cluster.createService(webSpec({ replicas: 2 }));
  cluster.converge();
  const before = [...cluster.tables.list('task')];
  const planned = await update(cluster, id, (spec) => withReplicas(spec, 5));
  expect([...cluster.tables.list('task')]).toEqual(before);
  cluster.updateService(id, (spec) => withReplicas(spec, 5));
  cluster.converge();
  const started = planned.steps.map(({ slot, node }) => `${slot} ${node}`).toSorted();
  const old = new Set(before.map((task) => task.id));
  const made = cluster.running(id).filter((task) => !old.has(task.id));
  expect(started).toEqual(made.map((task) => `web.${task.slot} ${task.nodeId}`).toSorted());
});

test('a change that means nothing plans nothing', async () => {
  const cluster = new DecideCluster({ nodes: 1 });
  const id = cluster.createService(webSpec());
  cluster.converge();
  expect(await update(cluster, id, (spec) => spec)).toMatchObject({ steps: [], durationMs: 0 });
});
