/** A host that loses its power, and how long until everything it ran runs elsewhere. */
import { loadavg } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import type { Host } from '../../deploy/lab/host.ts';
import { TASK_STATES, type TaskState } from '../../pkg/model/index.ts';
import { eventually, type TaskJson, type TestCluster } from '../cluster/cluster.ts';
import { ApiClient, settledLeader } from './lab.ts';
import { median, quantile, report, round } from './measure.ts';

export const SERVICE = 'web';
const POLL_MS = 10;
const GIVE_UP_MS = 60_000;
/** Agents send a heartbeat each second: the cut comes at any moment between two of them. */
const HEARTBEAT_MS = 1000;

/** Seconds from the power cut, in the order of the steps. */
interface Loss {
  /** Until the first replacement was made: the loss is noticed. */
  readonly noticed: number;
  /** Until the last one had a node. */
  readonly placed: number;
  /** Until the agent said of the last one that its container exists, and that it is being started. */
  readonly starting: number;
  /** Until the last one runs as its agent reported it, by the leader's clock. */
  readonly ran: number;
  /** Until the last replacement runs, seen through the API of another host. */
  readonly replaced: number;
  /** The longest wait for an answer of that API. */
  readonly answer: number;
}

interface TimedTask extends TaskJson {
  readonly CreatedAt: string;
  readonly Status: TaskJson['Status'] & { readonly Timestamp: string };
}

/** A loss that took longer is told step by step. */
const TOLD_S = 4;

/** `replicas` tasks with an image that every host has, on an overlay network. */
export async function runService(
  cluster: TestCluster,
  replicas: number,
  constraint: string,
): Promise<void> {
  await cluster.ctl('h1', 'network', 'create', 'street');
  const where = ['--constraint', constraint, '--network', 'street'];
  const update = ['--update-parallelism', '0', '--update-monitor', '100ms'];
  const words = ['--name', SERVICE, '--replicas', String(replicas), ...where, ...update];
  await cluster.ctl('h1', 'service', 'create', ...words, 'muster/web:1');
}

/**
 * Cuts the power and the link of the host that `choose` names, as often as asked, and prints one row. `ask` is
 * a host that stays. The lost host comes back each time.
 */
export async function measureLosses(
  cluster: TestCluster,
  row: { readonly name: string; readonly kills: number; readonly replicas: number },
  choose: () => Promise<{ readonly lost: Host; readonly ask: Host }>,
): Promise<void> {
  const losses: Loss[] = [];
  for (let kill = 0; kill < row.kills; kill++) {
    await settledLeader(cluster.lab);
    await settled(cluster, row.replicas);
    const { lost, ask } = await choose();
    await pause(Math.random() * HEARTBEAT_MS);
    const loss = await lose(cluster, lost, ask, row.replicas);
    losses.push(loss);
    if (loss.replaced > TOLD_S) tell(kill + 1, loss);
    lost.setLink('up');
    await lost.start();
  }
  const replaced = losses.map((loss) => loss.replaced);
  const steps = Object.entries({ ...losses[0] }).map(([step]) => {
    const values = losses.map((loss) => loss[step as keyof Loss]);
    return [step, `${round(median(values))} (${round(Math.max(...values))} at most)`];
  });
  report(row.name, 's', replaced, {
    p99: round(quantile(replaced, 0.99)),
    max: round(Math.max(...replaced)),
    ...Object.fromEntries(steps),
  });
}

function tell(number: number, loss: Loss): void {
  const steps = Object.entries(loss).map(([step, seconds]) => `${step} ${seconds.toFixed(2)}`);
  process.stdout.write(`loss ${number}, load ${loadavg()[0]?.toFixed(1)}: ${steps.join(', ')}\n`);
}

async function lose(cluster: TestCluster, lost: Host, ask: Host, replicas: number): Promise<Loss> {
  const node = (await cluster.nodes(ask.name)).find(
    ({ Description }) => Description.Hostname === lost.name,
  );
  const before = new Set((await cluster.running(SERVICE, ask.name)).map(({ ID }) => ID));
  const client = new ApiClient(ask.socket);
  const filters = { service: [SERVICE], 'desired-state': ['running'] };
  const path = `/tasks?filters=${encodeURIComponent(JSON.stringify(filters))}`;
  const begun = Date.now();
  const watch = new Replacements(begun, before);
  // The link first: nobody is told that its sockets close.
  lost.setLink('down');
  const dead = lost.kill('all');
  try {
    for (;;) {
      const asked = Date.now();
      const answer = await client.call('GET', path, undefined, GIVE_UP_MS).catch(() => []);
      const now = Date.now();
      const tasks = (answer as TimedTask[]).filter(({ NodeID }) => NodeID !== node?.ID);
      watch.see(tasks, asked, now);
      if (tasks.length === replicas && tasks.every(({ Status }) => Status.State === 'running')) {
        return watch.steps(tasks, now);
      }
      if (now - begun > GIVE_UP_MS) {
        const states = tasks.map(
          ({ Slot, Status }) => `${Slot}: ${Status.State} ${Status.Err ?? ''}`,
        );
        throw new Error(`${lost.name} was not replaced in a minute: ${states.join(', ')}`);
      }
      await pause(POLL_MS);
    }
  } finally {
    client.close();
    await dead;
  }
}

/** When each replacement was first seen in which state. */
class Replacements {
  readonly #begun: number;
  readonly #before: ReadonlySet<string>;
  readonly #seen = new Map<string, Map<string, number>>();
  #answerMs = 0;

  constructor(begun: number, before: ReadonlySet<string>) {
    this.#begun = begun;
    this.#before = before;
  }

  see(tasks: readonly TimedTask[], asked: number, now: number): void {
    this.#answerMs = Math.max(this.#answerMs, now - asked);
    for (const { ID, Status } of tasks.filter((task) => !this.#before.has(task.ID))) {
      const states = this.#seen.get(ID) ?? new Map<string, number>();
      this.#seen.set(ID, states);
      if (!states.has(Status.State)) states.set(Status.State, now);
    }
  }

  steps(tasks: readonly TimedTask[], now: number): Loss {
    const made = tasks.filter(({ ID }) => !this.#before.has(ID));
    const since = (instants: readonly number[], choose = Math.max): number =>
      (choose(...instants) - this.#begun) / 1000;
    const reached = (from: TaskState): readonly number[] =>
      made.map(({ ID }) => {
        const later = TASK_STATES.slice(TASK_STATES.indexOf(from));
        const states = this.#seen.get(ID);
        return Math.min(...later.flatMap((state) => states?.get(state) ?? []));
      });
    return {
      noticed: since(
        made.map(({ CreatedAt }) => Date.parse(CreatedAt)),
        Math.min,
      ),
      placed: since(reached('assigned')),
      starting: since(reached('starting')),
      ran: since(made.map(({ Status }) => Date.parse(Status.Timestamp))),
      replaced: since([now]),
      answer: this.#answerMs / 1000,
    };
  }
}

/** Every node is heard, and every slot runs. */
async function settled(cluster: TestCluster, replicas: number): Promise<void> {
  await eventually('every node to be ready', async () =>
    (await cluster.nodes()).every(({ Status }) => Status.State === 'ready'),
  );
  await cluster.waitRunning(SERVICE, replicas);
}
