/** One update of a real service in the middle of which the leading manager is killed. */
import { setTimeout as pause } from 'node:timers/promises';
import { eventually, type TestCluster } from './cluster.ts';
import { type Rollout, SLOTS } from './rollouts.ts';

const NAME = 'rolled';
const IMAGE = 'muster/web:1';
const SECOND = 1e9;
const LIMIT_MS = 60_000;
const POLL_MS = 50;
/** More than any host of a test has. */
const FAR_TOO_MUCH = 512e9;
const RUN = [
  'case "$FAIL$SLOT" in all*|half[24]) sleep 0.5; exit 1;; esac',
  "trap 'exit 0' TERM",
  'while :; do sleep 0.1; done',
].join('\n');

interface TaskJson {
  readonly ID: string;
  readonly DesiredState: string;
  readonly Spec: { readonly ContainerSpec: { readonly Env?: readonly string[] } };
  readonly Status: { readonly State: string };
}

interface ServiceJson {
  readonly Version: { readonly Index: number };
  readonly UpdateStatus?: { readonly State: string; readonly Message: string };
}

export interface RolloutResult {
  /** How it went differently from what the rollout says; empty when all is as it has to be. */
  readonly problems: readonly string[];
  /** It took longer than on a machine with processors to spare. */
  readonly late: boolean;
  readonly seconds: number;
  /** State and message. */
  readonly end: string;
  /** Each change of the update's state and of how many tasks are in which state, with the seconds since the update. */
  readonly story: readonly string[];
}

/** Makes a service, updates it, kills the leader on the way, and judges what it sees. Removes the service. */
export async function runRollout(cluster: TestCluster, rollout: Rollout): Promise<RolloutResult> {
  const observer = new Observer(cluster, rollout);
  try {
    await observer.create();
    return await observer.update();
  } finally {
    await observer.remove();
  }
}

class Observer {
  readonly #cluster: TestCluster;
  readonly #rollout: Rollout;
  readonly #wanted: number;
  readonly #problems = new Set<string>();
  readonly #failed = new Set<string>();
  readonly #story: string[] = [];
  #begun = 0;
  #killed = false;
  /** A manager's host that is not about to be killed. */
  #ask = 'h1';
  #state = '';

  constructor(cluster: TestCluster, rollout: Rollout) {
    this.#cluster = cluster;
    this.#rollout = rollout;
    this.#wanted = rollout.global ? cluster.lab.hosts.length : SLOTS;
  }

  async create(): Promise<void> {
    await this.#api('POST', '/services/create', this.#spec(1));
    await this.#cluster.waitRunning(NAME, this.#wanted, this.#ask);
  }

  async remove(): Promise<void> {
    await this.#api('DELETE', `/services/${NAME}`).catch(() => undefined);
    await eventually('the tasks to be gone', async () => (await this.#tasks()).length === 0);
    await this.#settled();
  }

  async update(): Promise<RolloutResult> {
    await this.#settled();
    const { Version } = await this.#service();
    await this.#choose();
    await this.#api('POST', `/services/${NAME}/update?version=${Version.Index}`, this.#spec(2));
    this.#begun = performance.now();
    const since = (): number => performance.now() - this.#begun;
    const acts = this.#acts(since);
    acts.catch(() => undefined);
    await eventually('the end of the update', () => this.#look(), LIMIT_MS);
    const seconds = since() / 1000;
    await acts;
    await this.#judgeEnd(seconds);
    const { UpdateStatus } = await this.#service();
    const end = `${UpdateStatus?.State}: ${UpdateStatus?.Message}`;
    const late = seconds > this.#rollout.seconds[1];
    return { problems: [...this.#problems], late, seconds, end, story: this.#story };
  }

  async #acts(since: () => number): Promise<void> {
    const { kills, rollbackAfter = Number.POSITIVE_INFINITY } = this.#rollout;
    const moments = [...kills, rollbackAfter].toSorted((left, right) => left - right);
    for (const at of moments.filter(Number.isFinite)) {
      await pause(Math.max(0, at - since()));
      if (at === rollbackAfter) await this.#rollBack();
      else await this.#kill(Math.round(since()));
    }
  }

  async #rollBack(): Promise<void> {
    const { Version } = await this.#service();
    const path = `/services/${NAME}/update?version=${Version.Index}&rollback=previous`;
    await this.#api('POST', path, this.#spec(1));
  }

  async #kill(at: number): Promise<void> {
    if (this.#killed) await this.#settled();
    this.#killed = true;
    const leader = await this.#choose();
    if (isOver(this.#state)) this.#problems.add(`it was ${this.#state} at the kill after ${at} ms`);
    await this.#cluster.host(leader).kill('manager');
    this.#note(`manager of ${leader} killed`);
  }

  /** Asks a manager that does not lead from now on. @returns the leader */
  async #choose(): Promise<string> {
    const leader = await this.#cluster.leader(this.#ask);
    this.#ask = leader === 'h1' ? 'h2' : 'h1';
    return leader;
  }

  /** One look at the service and its tasks; true when the update is over. */
  async #look(): Promise<boolean> {
    const [service, tasks] = [await this.#service(), await this.#tasks()];
    this.#state = service.UpdateStatus?.State ?? '';
    this.#note([this.#state, ...tasks.map(describe).toSorted()].join(' '));
    const back = this.#state.startsWith('rollback');
    const target = back ? 1 : 2;
    const { Parallelism = 1, Order } = (back ? this.#rollout.rollback : this.#rollout.update) ?? {};
    const coming = tasks.filter(
      (task) => versionOf(task) === target && isWanted(task) && isComing(task),
    );
    if (Parallelism > 0 && coming.length > Parallelism) {
      this.#problems.add(`${coming.length} replacements on their way instead of ${Parallelism}`);
    }
    for (const task of tasks) {
      if (versionOf(task) === 2 && isFailed(task)) this.#failed.add(task.ID);
    }
    const running = tasks.filter((task) => isWanted(task) && task.Status.State === 'running');
    const keeps = Order === 'start-first' && !['bad', 'half'].includes(this.#rollout.change);
    if (keeps && running.length < this.#wanted) {
      this.#problems.add(`only ${running.length} of ${this.#wanted} ran on the way`);
    }
    await pause(POLL_MS);
    return isOver(this.#state);
  }

  #note(what: string): void {
    if (this.#story.at(-1)?.endsWith(` ${what}`)) return;
    this.#story.push(`${((performance.now() - this.#begun) / 1000).toFixed(2)} ${what}`);
  }

  async #judgeEnd(seconds: number): Promise<void> {
    const { ends, failed = [0, 0], seconds: limits } = this.#rollout;
    if (this.#state !== ends) this.#problems.add(`it ended ${this.#state} instead of ${ends}`);
    const [least, most] = failed;
    if (this.#failed.size < least || this.#failed.size > most) {
      this.#problems.add(`${this.#failed.size} tasks failed instead of ${least} to ${most}`);
    }
    if (seconds < limits[0]) {
      this.#problems.add(`it took ${seconds.toFixed(1)} s, less than ${limits[0]}`);
    }
    if (ends === 'paused') return;
    const target = ends === 'completed' ? 2 : 1;
    const right = (await this.#tasks()).filter(
      (task) => isWanted(task) && versionOf(task) === target && task.Status.State === 'running',
    );
    const expected = this.#wanted - (ends === 'completed' ? this.#failed.size : 0);
    if (right.length !== expected) {
      this.#problems.add(`${right.length} run version ${target} instead of ${expected}`);
    }
  }

  /** Every manager is there again: a majority must outlive the next kill. */
  async #settled(): Promise<void> {
    await eventually('three managers', async () => {
      const nodes = await this.#cluster.nodes(this.#ask);
      const reached = nodes.filter((node) => node.ManagerStatus?.Reachability === 'reachable');
      return reached.length === 3 && nodes.every(({ Status }) => Status.State === 'ready');
    });
  }

  #service(): Promise<ServiceJson> {
    return this.#api('GET', `/services/${NAME}`);
  }

  #tasks(): Promise<readonly TaskJson[]> {
    const filters = encodeURIComponent(JSON.stringify({ service: [NAME] }));
    return this.#api('GET', `/tasks?filters=${filters}`);
  }

  #api<T>(method: string, path: string, body?: unknown): Promise<T> {
    return this.#cluster.api<T>(this.#ask, method, path, body);
  }

  #spec(version: 1 | 2): object {
    const { update, rollback = {}, labels = {}, global, change } = this.#rollout;
    const is = (what: Rollout['change']): boolean => version === 2 && change === what;
    const fails = version === 2 && ['bad', 'half', 'missing'].includes(change);
    const fail = is('bad') ? 'all' : is('half') ? 'half' : 'none';
    return {
      Name: NAME,
      Labels: labels,
      Mode: global ? { Global: {} } : { Replicated: { Replicas: SLOTS } },
      TaskTemplate: {
        ContainerSpec: {
          Image: is('missing') ? 'muster/none:1' : IMAGE,
          Args: ['sh', '-c', RUN],
          Env: [`VERSION=${version}`, `FAIL=${fail}`, 'SLOT={{.Task.Slot}}'],
          StopGracePeriod: 2 * SECOND,
        },
        // What is lost with a node that is too busy comes back; what fails is not tried again. The delay is also what an
        // update waits after a failure.
        RestartPolicy: { Condition: fails ? 'none' : 'any', Delay: SECOND },
        Resources: is('big') ? { Reservations: { NanoCPUs: FAR_TOO_MUCH } } : {},
      },
      UpdateConfig: { Parallelism: 1, ...update },
      RollbackConfig: { Parallelism: 1, ...rollback },
    };
  }
}

function versionOf({ Spec }: TaskJson): number {
  return Number(Spec.ContainerSpec.Env?.find((word) => word.startsWith('VERSION='))?.slice(8));
}

/** `v2:running` for one that is wanted, `v1:running-` for one that is not. */
function describe(task: TaskJson): string {
  return `v${versionOf(task)}:${task.Status.State}${isWanted(task) ? '' : '-'}`;
}

function isWanted({ DesiredState }: TaskJson): boolean {
  return DesiredState === 'running' || DesiredState === 'ready';
}

function isFailed({ Status }: TaskJson): boolean {
  return Status.State === 'failed' || Status.State === 'rejected';
}

function isComing(task: TaskJson): boolean {
  return task.Status.State !== 'running' && task.Status.State !== 'complete' && !isFailed(task);
}

function isOver(state: string): boolean {
  return ['completed', 'paused', 'rollback_completed', 'rollback_paused'].includes(state);
}
