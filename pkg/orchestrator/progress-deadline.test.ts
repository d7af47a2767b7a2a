import { expect, test } from 'vitest';
import { DecideCluster, webSpec, withImage } from '../../test/sim/decide-cluster.ts';
import type { ServiceId, ServiceSpec, UpdateConfigSpec } from '../model/index.ts';

const SECOND_NS = 1e9;

interface Setup {
  readonly cluster: DecideCluster;
  readonly web: ServiceId;
}

function running(update: UpdateConfigSpec, labels: Record<string, string> = {}): Setup {
  const cluster = new DecideCluster({ nodes: 2 });
  const web = cluster.createService(
    webSpec({ replicas: 2, UpdateConfig: update, RollbackConfig: update, Labels: labels }),
  );
  cluster.converge();
  return { cluster, web };
}

/** The new version fits on no node. */
function tooBig(spec: ServiceSpec): ServiceSpec {
  return {
    ...spec,
    TaskTemplate: { ...spec.TaskTemplate, Resources: { Reservations: { NanoCPUs: 64e9 } } },
  };
}

/** Agents work and time passes, second by second; a new leader every ten. */
function live({ cluster }: Setup, seconds: number): void {
  for (let second = 0; second < seconds; second++) {
    if (second % 10 === 0) cluster.elect();
    cluster.converge();
    cluster.advance(1000);
  }
  cluster.converge();
}

test('an update that fits nowhere is paused with the reason when ten minutes are over', () => {
  const setup = running({ Order: 'start-first' });
  const { cluster, web } = setup;
  cluster.updateService(web, tooBig);
  live(setup, 599);
  expect(cluster.service(web).updateStatus?.state).toBe('updating');
  live(setup, 2);
  expect(cluster.service(web).updateStatus).toMatchObject({
    state: 'paused',
    overdue: true,
    message: expect.stringMatching(
      /^update paused because nothing came up in 600 s: task \S+ is pending \(no suitable node \(insufficient resources on 2 nodes\)\)$/,
    ),
  });
  expect(cluster.running(web).length).toBe(2);
});

test('it is rolled back where the policy says so, and every slot runs the old version again', () => {
  const setup = running({ FailureAction: 'rollback' }, { 'muster.progress-deadline': '30s' });
  const { cluster, web } = setup;
  cluster.updateService(web, tooBig);
  live(setup, 40);
  expect(cluster.service(web).updateStatus?.state).toBe('rollback_completed');
  expect(cluster.service(web).spec.TaskTemplate?.Resources).toBeUndefined();
  expect(cluster.running(web).length).toBe(2);
});

test('also with failure action continue, where every try fails', () => {
  const setup = running({ FailureAction: 'continue' }, { 'muster.progress-deadline': '1m' });
  const { cluster, web } = setup;
  cluster.updateService(web, (spec) => withImage(spec, 'missing'));
  for (let second = 0; second < 62; second++) {
    cluster.settle();
    for (const task of cluster.runnable(web)) {
      if (task.specVersion === 2) cluster.report(task.id, 'rejected', 'No such image: missing');
    }
    cluster.converge();
    cluster.advance(1000);
  }
  expect(cluster.service(web).updateStatus).toMatchObject({ state: 'paused', overdue: true });
});

test('delay and monitor are no lack of progress, and 0 is no deadline', () => {
  const labels = { 'muster.progress-deadline': '10s' };
  const slow = running({ Delay: 60 * SECOND_NS, Monitor: 40 * SECOND_NS }, labels);
  slow.cluster.updateService(slow.web, (spec) => withImage(spec, 'nginx:2'));
  live(slow, 150);
  expect(slow.cluster.service(slow.web).updateStatus?.state).toBe('completed');
  const never = running({}, { 'muster.progress-deadline': '0' });
  never.cluster.updateService(never.web, tooBig);
  live(never, 1500);
  expect(never.cluster.service(never.web).updateStatus?.state).toBe('updating');
});
