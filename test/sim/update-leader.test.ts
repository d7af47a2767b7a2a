/**
 * Twenty updates and rollbacks, each with a new leader after every pass, and with a leader that is lost in the middle of
 * what it writes: every one ends as it does undisturbed, with the same counts at the same instants.
 */
import { expect, test } from 'vitest';
import {
  isTerminal,
  type ServiceId,
  type ServiceSpec,
  type Task,
  type UpdateConfigSpec,
} from '../../pkg/model/index.ts';
import { DecideCluster, nextState, webSpec, withImage } from './decide-cluster.ts';

const STEP_MS = 500;
const STEPS_MAX = 4000;
const LOST_AT = 5;

interface Scenario {
  readonly update: UpdateConfigSpec;
  readonly change: 'good' | 'bad' | 'half' | 'missing' | 'big';
  readonly labels?: Record<string, string>;
  readonly mode?: ServiceSpec['Mode'];
  /** The user asks for a rollback so long after the update. */
  readonly rollbackMs?: number;
  readonly ends: string;
}

const S = 1e9;
const SCENARIOS: readonly Scenario[] = [
  { update: {}, change: 'good', ends: 'completed' },
  { update: { Parallelism: 2, Delay: 3 * S }, change: 'good', ends: 'completed' },
  { update: { Parallelism: 0 }, change: 'good', ends: 'completed' },
  { update: { Order: 'start-first' }, change: 'good', ends: 'completed' },
  {
    update: { Order: 'start-first', Parallelism: 3, Delay: 2 * S },
    change: 'good',
    ends: 'completed',
  },
  { update: {}, change: 'bad', ends: 'paused' },
  { update: { FailureAction: 'rollback' }, change: 'bad', ends: 'rollback_completed' },
  {
    update: { FailureAction: 'rollback', Order: 'start-first', Parallelism: 2 },
    change: 'bad',
    ends: 'rollback_completed',
  },
  { update: { MaxFailureRatio: 0.5, Parallelism: 2 }, change: 'bad', ends: 'paused' },
  {
    update: { MaxFailureRatio: 0.6, FailureAction: 'rollback' },
    change: 'half',
    ends: 'rollback_completed',
  },
  {
    update: { FailureAction: 'continue', Parallelism: 2 },
    change: 'half',
    labels: { 'muster.progress-deadline': '1m' },
    ends: 'paused',
  },
  { update: { Order: 'start-first' }, change: 'missing', ends: 'paused' },
  {
    update: { FailureAction: 'rollback', Order: 'start-first' },
    change: 'missing',
    ends: 'rollback_completed',
  },
  { update: {}, change: 'big', labels: { 'muster.progress-deadline': '40s' }, ends: 'paused' },
  {
    update: { FailureAction: 'rollback' },
    change: 'big',
    labels: { 'muster.progress-deadline': '40s' },
    ends: 'rollback_completed',
  },
  {
    update: { Parallelism: 0, Order: 'start-first', FailureAction: 'rollback' },
    change: 'big',
    ends: 'rollback_completed',
  },
  {
    update: { Parallelism: 0 },
    change: 'good',
    labels: { 'muster.min-available': '3' },
    ends: 'completed',
  },
  { update: { Delay: 5 * S }, change: 'good', rollbackMs: 9000, ends: 'rollback_completed' },
  { update: { Parallelism: 2 }, change: 'good', mode: { Global: {} }, ends: 'completed' },
  {
    update: { FailureAction: 'rollback' },
    change: 'bad',
    mode: { Global: {} },
    ends: 'rollback_completed',
  },
];

interface Outcome {
  /** Every change of the update's state or counts, and of how many tasks run, with its instant. */
  readonly story: readonly string[];
  readonly state: string | undefined;
  readonly failures: number | undefined;
  readonly images: readonly string[];
  readonly seconds: number;
}

function changed(spec: ServiceSpec, { change }: Scenario): ServiceSpec {
  if (change !== 'big') return withImage(spec, change);
  const Resources = { Reservations: { NanoCPUs: 64e9 } };
  return { ...spec, TaskTemplate: { ...spec.TaskTemplate, Resources } };
}

class Run {
  readonly cluster = new DecideCluster({ nodes: 4 });
  readonly #scenario: Scenario;
  readonly #id: ServiceId;
  readonly #story: string[] = [];

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    const { update, labels = {}, mode } = scenario;
    const policies = { UpdateConfig: update, RollbackConfig: { Parallelism: 2 }, Labels: labels };
    const spec = webSpec({ replicas: 4, ...policies });
    this.#id = this.cluster.createService(mode ? { ...spec, Mode: mode } : spec);
    this.cluster.converge();
  }

  outcome(): Outcome {
    const { cluster } = this;
    const begun = cluster.now;
    cluster.updateService(this.#id, (spec) => changed(spec, this.#scenario));
    for (let step = 0; step < STEPS_MAX; step++) {
      cluster.settle();
      this.#agents();
      cluster.settle();
      this.#note(begun);
      if (this.#isOver()) break;
      cluster.advance(STEP_MS);
      if (cluster.now - begun === this.#scenario.rollbackMs) cluster.rollbackService(this.#id);
    }
    const { updateStatus } = cluster.service(this.#id);
    return {
      story: this.#story,
      state: updateStatus?.state,
      failures: updateStatus?.failures,
      images: cluster
        .running(this.#id)
        .map((task) => this.#image(task))
        .toSorted(),
      seconds: (cluster.now - begun) / 1000,
    };
  }

  #isOver(): boolean {
    const state = this.cluster.service(this.#id).updateStatus?.state;
    return state !== undefined && state !== 'updating' && state !== 'rollback_started';
  }

  #note(begun: number): void {
    const { updateStatus: status } = this.cluster.service(this.#id);
    const running = this.cluster.running(this.#id).length;
    const line = `${status?.state} failures ${status?.failures} of ${status?.slotsTotal}, ${running} run`;
    if (this.#story.at(-1)?.endsWith(` ${line}`)) return;
    this.#story.push(`${(this.cluster.now - begun) / 1000} ${line}`);
  }

  /** Every agent moves every task one step; bad versions run for a second, missing images are rejected. */
  #agents(): void {
    for (const task of [...this.cluster.tables.list('task')]) {
      const image = this.#image(task);
      const fails = image === 'bad' || (image === 'half' && task.slot % 2 === 0);
      const ranMs = this.cluster.now - task.status.at;
      const next = nextState(task);
      if (image === 'missing' && next === 'ready') {
        this.cluster.report(task.id, 'rejected', 'No such image: missing');
      } else if (next) this.cluster.report(task.id, next);
      else if (fails && task.status.state === 'running' && ranMs >= 1000) {
        if (!isTerminal(task.status.state)) this.cluster.report(task.id, 'failed', 'exit 1');
      }
    }
  }

  #image(task: Task): string {
    const spec = this.cluster.tables.revision(task.serviceId, task.specVersion)?.spec;
    const big = spec?.TaskTemplate?.Resources ? ' big' : '';
    return `${spec?.TaskTemplate?.ContainerSpec?.Image ?? ''}${big}`;
  }
}

const NAMED = SCENARIOS.map((scenario, at): [string, Scenario] => {
  const { update, change, ends } = scenario;
  return [`${at + 1}: ${change} ${JSON.stringify(update)} ends ${ends}`, scenario];
});

test.each(NAMED)('%s, whoever leads', (_name, scenario) => {
  const calm = new Run(scenario).outcome();
  expect(calm.state).toBe(scenario.ends);
  const restless = new Run(scenario);
  restless.cluster.onPass = (): void => restless.cluster.elect();
  expect(restless.outcome()).toEqual(calm);
});

/** The leader is lost in its `pass`th pass, when half of what that decided is written. */
function lostAt(scenario: Scenario, pass: number): Outcome & { readonly passes: number } {
  const run = new Run(scenario);
  let passes = 0;
  run.cluster.written = (changes): number => {
    if (changes === 0) return 0;
    passes += 1;
    return passes === pass ? Math.floor(changes / 2) : changes;
  };
  return { ...run.outcome(), passes };
}

test.each(NAMED)('%s, also when half of a pass is lost', (_name, scenario) => {
  const { passes, ...calm } = lostAt(scenario, 0);
  for (let at = 1; at <= LOST_AT; at++) {
    const disturbed = lostAt(scenario, Math.ceil((at * passes) / LOST_AT));
    expect(disturbed.state).toBe(calm.state);
    expect(disturbed.failures).toBe(calm.failures);
    expect(disturbed.images).toEqual(calm.images);
    expect(Math.abs(disturbed.seconds - calm.seconds)).toBeLessThanOrEqual(1);
  }
});
