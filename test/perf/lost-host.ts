/** A host that loses its power, and how long until everything it ran runs elsewhere. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Host } from '../../deploy/lab/host.ts';
import { eventually, type TaskJson, type TestCluster } from '../cluster/cluster.ts';
import { ApiClient, settledLeader } from './lab.ts';
import { median, quantile, report, round } from './measure.ts';

export const SERVICE = 'web';
const POLL_MS = 10;
const GIVE_UP_MS = 60_000;
/** Agents send a heartbeat each second: the cut comes at any moment between two of them. */
const HEARTBEAT_MS = 1000;

/** Seconds from the power cut. */
interface Loss {
  /** Until the last replacement runs, seen through the API of another host. */
  readonly replaced: number;
  /** Until the first replacement was made: the loss is noticed. */
  readonly noticed: number;
}

interface TimedTask extends TaskJson {
  readonly CreatedAt: string;
}

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
    losses.push(await lose(cluster, lost, ask, row.replicas));
    lost.setLink('up');
    await lost.start();
  }
  const replaced = losses.map((loss) => loss.replaced);
  report(row.name, 's', replaced, {
    p99: round(quantile(replaced, 0.99)),
    max: round(Math.max(...replaced)),
    noticed: round(median(losses.map((loss) => loss.noticed))),
  });
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
  // The link first: nobody is told that its sockets close.
  lost.setLink('down');
  const dead = lost.kill('all');
  try {
    for (;;) {
      const answer = await client.call('GET', path, undefined, GIVE_UP_MS).catch(() => []);
      const tasks = (answer as TimedTask[]).filter(({ NodeID }) => NodeID !== node?.ID);
      const now = Date.now();
      if (tasks.length === replicas && tasks.every(({ Status }) => Status.State === 'running')) {
        const made = tasks.filter(({ ID }) => !before.has(ID));
        const first = Math.min(...made.map(({ CreatedAt }) => Date.parse(CreatedAt)));
        return { replaced: (now - begun) / 1000, noticed: (first - begun) / 1000 };
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

/** Every node is heard, and every slot runs. */
async function settled(cluster: TestCluster, replicas: number): Promise<void> {
  await eventually('every node to be ready', async () =>
    (await cluster.nodes()).every(({ Status }) => Status.State === 'ready'),
  );
  await cluster.waitRunning(SERVICE, replicas);
}
