import { describe, expect, it } from 'vitest';
import { type DesiredState, TASK_STATES, type TaskState } from '../model/index.ts';
import { nextStep, type Observed } from './next-step.ts';

type Container = NonNullable<Observed['container']>;
const created: Container = { state: 'created', health: 'none' };
const up: Container = { state: 'running', health: 'none' };
const exited = (exitCode: number, error?: string): Container => ({
  state: 'exited',
  health: 'none',
  exitCode,
  error,
});
const report = (state: TaskState, message: string, error?: string): unknown =>
  error === undefined
    ? { kind: 'report', state, message }
    : { kind: 'report', state, message, error };

interface Row {
  readonly desired: DesiredState;
  readonly state: TaskState;
  readonly container?: Container;
  readonly hasNeeds?: boolean;
  readonly failure?: string;
  readonly mayRestartHere?: boolean;
  readonly step: unknown;
}

const WAIT = { kind: 'wait' };
const FENCED = report(
  'shutdown',
  'fenced',
  "killed: no manager was heard for as long as the service's fence",
);
const ROWS: Readonly<Record<string, Row>> = {
  'killed by its fence it did not fail': {
    desired: 'running',
    state: 'running',
    container: { ...exited(137), fenced: true },
    step: FENCED,
  },
  'nor is it started again by a host that is alone': {
    desired: 'running',
    state: 'running',
    container: { ...exited(137), fenced: true },
    mayRestartHere: true,
    step: FENCED,
  },
  'and it says so to a manager that has replaced it meanwhile': {
    desired: 'shutdown',
    state: 'running',
    container: { ...exited(137), fenced: true },
    step: FENCED,
  },
  'a new assignment is accepted': {
    desired: 'running',
    state: 'assigned',
    step: report('accepted', 'accepted'),
  },
  'then preparing': {
    desired: 'running',
    state: 'accepted',
    step: report('preparing', 'preparing'),
  },
  'then made': { desired: 'running', state: 'preparing', step: { kind: 'create' } },
  'not made before its secrets are here': {
    desired: 'running',
    state: 'preparing',
    hasNeeds: false,
    step: WAIT,
  },
  'prepared when it is made': {
    desired: 'running',
    state: 'preparing',
    container: created,
    step: report('ready', 'prepared'),
  },
  'held while desired ready': { desired: 'ready', state: 'ready', container: created, step: WAIT },
  'starting when desired running': {
    desired: 'running',
    state: 'ready',
    container: created,
    step: report('starting', 'starting'),
  },
  'failed for want of memory': {
    desired: 'running',
    state: 'running',
    container: { ...exited(137), oomKilled: true },
    step: report('failed', 'failed', 'task: non-zero exit (137): out of memory'),
  },
  'a job runs too': {
    desired: 'complete',
    state: 'ready',
    container: created,
    step: report('starting', 'starting'),
  },
  started: { desired: 'running', state: 'starting', container: created, step: { kind: 'start' } },
  'running at once without a health check': {
    desired: 'running',
    state: 'starting',
    container: up,
    step: report('running', 'started'),
  },
  'not running before it is healthy': {
    desired: 'running',
    state: 'starting',
    container: { ...up, health: 'starting' },
    step: WAIT,
  },
  'running when it is healthy': {
    desired: 'running',
    state: 'starting',
    container: { ...up, health: 'healthy' },
    step: report('running', 'started'),
  },
  'fails when it never gets healthy': {
    desired: 'running',
    state: 'starting',
    container: { ...up, health: 'unhealthy' },
    step: { kind: 'fail', error: 'dockerexec: unhealthy container' },
  },
  'fails when it turns unhealthy': {
    desired: 'running',
    state: 'running',
    container: { ...up, health: 'unhealthy' },
    step: { kind: 'fail', error: 'dockerexec: unhealthy container' },
  },
  'a failure stops the program first': {
    desired: 'running',
    state: 'running',
    container: up,
    failure: 'x',
    step: { kind: 'stop' },
  },
  'and is reported then': {
    desired: 'running',
    state: 'running',
    container: exited(143),
    failure: 'x',
    step: report('failed', 'failed', 'x'),
  },
  'nothing to do while it runs': {
    desired: 'running',
    state: 'running',
    container: up,
    step: WAIT,
  },
  'complete on exit 0': {
    desired: 'running',
    state: 'running',
    container: exited(0),
    step: report('complete', 'finished'),
  },
  'failed on another exit': {
    desired: 'running',
    state: 'running',
    container: exited(3),
    step: report('failed', 'failed', 'task: non-zero exit (3)'),
  },
  'with the cause if there is one': {
    desired: 'running',
    state: 'starting',
    container: exited(127, 'not found'),
    step: report('failed', 'failed', 'task: non-zero exit (127): not found'),
  },
  'failed when the container vanished': {
    desired: 'running',
    state: 'running',
    step: report('failed', 'failed', 'task: the container is gone'),
  },
  'shutdown stops the program': {
    desired: 'shutdown',
    state: 'running',
    container: up,
    step: { kind: 'stop' },
  },
  'shutdown is reported when it is over': {
    desired: 'shutdown',
    state: 'running',
    container: exited(143),
    step: report('shutdown', 'shutdown'),
  },
  'shutdown of what was never made': {
    desired: 'remove',
    state: 'preparing',
    step: report('shutdown', 'shutdown'),
  },
  'shutdown of what was never started': {
    desired: 'shutdown',
    state: 'ready',
    container: created,
    step: report('shutdown', 'shutdown'),
  },
  'run again where no manager can replace it': {
    desired: 'running',
    state: 'running',
    container: exited(1),
    mayRestartHere: true,
    step: { kind: 'restart' },
  },
  'also when it turns unhealthy there': {
    desired: 'running',
    state: 'running',
    container: { ...up, health: 'unhealthy' },
    mayRestartHere: true,
    step: { kind: 'restart' },
  },
  'but not when it never ran': {
    desired: 'running',
    state: 'starting',
    container: exited(127),
    mayRestartHere: true,
    step: report('failed', 'failed', 'task: non-zero exit (127)'),
  },
  'nor when it was to end': {
    desired: 'shutdown',
    state: 'running',
    container: exited(143),
    mayRestartHere: true,
    step: report('shutdown', 'shutdown'),
  },
  'nothing after the end': {
    desired: 'running',
    state: 'failed',
    container: exited(1),
    step: WAIT,
  },
  'nothing runs after the end': {
    desired: 'running',
    state: 'rejected',
    container: up,
    step: { kind: 'stop' },
  },
};

describe('next step', () => {
  it.each(Object.entries(ROWS))('%s', (_name, row) => {
    const { desired, step, hasNeeds = true, ...seen } = row;
    expect(nextStep(desired, { hasNeeds, container: undefined, ...seen })).toEqual(step);
  });

  it('never reports a state to the left, whatever it sees', () => {
    const desires: DesiredState[] = ['ready', 'running', 'complete', 'shutdown', 'remove'];
    const containers = [undefined, created, up, exited(0), exited(1)];
    for (const [rank, state] of TASK_STATES.entries()) {
      for (const desired of desires) {
        for (const container of containers) {
          const step = nextStep(desired, { state, container, hasNeeds: true });
          if (step.kind === 'report') expect(TASK_STATES.indexOf(step.state)).toBeGreaterThan(rank);
        }
      }
    }
  });
});
