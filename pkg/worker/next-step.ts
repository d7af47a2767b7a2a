import type { TaskContainer } from '../engine/index.ts';
import {
  type DesiredState,
  FENCED_MESSAGE,
  isTerminal,
  type TaskState,
  unreachable,
} from '../model/index.ts';

/** What is known of a task on this machine. */
export interface Observed {
  /** As reported last. */
  readonly state: TaskState;
  readonly container:
    | (Pick<TaskContainer, 'state' | 'health' | 'exitCode' | 'error'> &
        Partial<Pick<TaskContainer, 'oomKilled' | 'fenced'>>)
    | undefined;
  /** Its secrets, configs and network tables are here. */
  readonly hasNeeds: boolean;
  /** Why the task must end as failed although its program may still run. */
  readonly failure?: string | undefined;
  /** No manager is in reach to replace the task when it has ended, and its service wants it to run again. */
  readonly mayRestartHere?: boolean | undefined;
}

/** One move of a task towards what is wanted. */
export type Step =
  /** The task is in this state now; tell the managers. */
  | {
      readonly kind: 'report';
      readonly state: TaskState;
      readonly message: string;
      readonly error?: string | undefined;
    }
  /** Get the image and make the container. */
  | { readonly kind: 'create' }
  | { readonly kind: 'start' }
  /** Signal, grace period, SIGKILL. */
  | { readonly kind: 'stop' }
  /** Stop it, then report this failure. */
  | { readonly kind: 'fail'; readonly error: string }
  /** It ended and nobody else will start it again: do so when it is due. */
  | { readonly kind: 'restart' }
  /** Nothing to do until the assignment or the container changes. */
  | { readonly kind: 'wait' };

const WAIT: Step = { kind: 'wait' };
/** It did not fail: nobody may know that it runs. Its slot goes on as if its node had been lost. */
const FENCED: Step = {
  kind: 'report',
  state: 'shutdown',
  message: FENCED_MESSAGE,
  error: "killed: no manager was heard for as long as the service's fence",
};
const UNHEALTHY = 'dockerexec: unhealthy container';

/**
 * The task state machine of an agent (SwarmKit's `exec.Do` as a pure function): which one step brings the task nearer to
 * `desired`. Reported states only move right.
 */
export function nextStep(desired: DesiredState, observed: Observed): Step {
  const running = observed.container?.state === 'running';
  if (isTerminal(observed.state)) return running ? { kind: 'stop' } : WAIT;
  if (observed.failure !== undefined) {
    return running ? { kind: 'stop' } : failed(observed.failure);
  }
  if (desired === 'shutdown' || desired === 'remove') {
    if (running) return { kind: 'stop' };
    return observed.container?.fenced ? FENCED : report('shutdown', 'shutdown');
  }
  if (desired === 'running' && observed.mayRestartHere && hasEnded(observed)) {
    return { kind: 'restart' };
  }
  return towardsRunning(desired, observed);
}

/** It had been running, and is over or unhealthy. */
export function hasEnded({ state, container }: Observed): boolean {
  if (state !== 'running' || container === undefined || container.fenced) return false;
  return container.state === 'exited' || container.health === 'unhealthy';
}

function towardsRunning(desired: DesiredState, { state, container, hasNeeds }: Observed): Step {
  switch (state) {
    case 'new':
    case 'pending':
    case 'assigned':
      return report('accepted', 'accepted');
    case 'accepted':
      return report('preparing', 'preparing');
    case 'preparing':
      if (container) return report('ready', 'prepared');
      return hasNeeds ? { kind: 'create' } : WAIT;
    case 'ready':
      return desired === 'ready' || !hasNeeds ? WAIT : report('starting', 'starting');
    case 'starting':
      return container?.state === 'created' ? { kind: 'start' } : whileUp(container, 'starting');
    case 'running':
      return whileUp(container, 'running');
    case 'complete':
    case 'shutdown':
    case 'failed':
    case 'rejected':
    case 'remove':
    case 'orphaned':
      return WAIT;
    default:
      return unreachable(state);
  }
}

function whileUp(container: Observed['container'], state: 'starting' | 'running'): Step {
  if (!container || container.state === 'created') return failed('task: the container is gone');
  if (container.state === 'exited') return finished(container);
  switch (container.health) {
    case 'unhealthy':
      return { kind: 'fail', error: UNHEALTHY };
    case 'starting':
      return WAIT;
    case 'healthy':
    case 'none':
      return state === 'starting' ? report('running', 'started') : WAIT;
    default:
      return unreachable(container.health);
  }
}

function finished(container: NonNullable<Observed['container']>): Step {
  const { exitCode, error, oomKilled, fenced } = container;
  if (fenced) return FENCED;
  if (exitCode === 0) return report('complete', 'finished');
  const code = exitCode === undefined ? '' : ` (${exitCode})`;
  const why = error || (oomKilled ? 'out of memory' : '');
  return failed(`task: non-zero exit${code}${why ? `: ${why}` : ''}`);
}

function failed(error: string): Step {
  return { kind: 'report', state: 'failed', message: 'failed', error };
}

function report(state: TaskState, message: string): Step {
  return { kind: 'report', state, message };
}
