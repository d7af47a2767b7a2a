/** After the engine was restarted, or killed: find every container again, finish what was half done. */
import { errorMessage } from '../model/index.ts';
import type { ContainerState } from '../runtime/index.ts';
import { clusterWishes } from './cluster-networks.ts';
import { Container } from './container.ts';
import type { Host } from './host.ts';
import { wire } from './launcher.ts';
import { networkPlan } from './network-plan.ts';
import { discard } from './remove.ts';
import { startsWithEngine } from './restart-policy.ts';
import { removeStraySecrets } from './secrets.ts';
import type { Supervisor } from './supervisor.ts';
import { msToNs, timeText } from './time.ts';

export async function adoptContainers(host: Host, supervisor: Supervisor): Promise<void> {
  for (const record of await host.records.load()) host.registry.add(new Container(record));
  const inRuntime = new Set(await host.runtime.list());
  const live: Container[] = [];
  const toStart: Container[] = [];
  for (const container of host.registry.list()) {
    const wasRunning = container.running;
    const state = inRuntime.has(container.id) ? await host.runtime.state(container.id) : undefined;
    if (container.state.status === 'removing') await finishRemoval(host, container, state);
    else if (await adopt(host, supervisor, { container, state })) live.push(container);
    else if (isDue(container, wasRunning)) toStart.push(container);
  }
  for (const id of inRuntime) if (!host.registry.find(id)) await forget(host, id);
  await adoptNetworks(host, live);
  for (const container of live) {
    keepClusterNetworks(host, container);
    supervisor.watch(container, container.state.health);
  }
  await removeRemains(host);
  for (const container of toStart) await startAgain(host, supervisor, container);
}

/** What needs the cluster waits for a session with it, which begins after this. */
async function startAgain(host: Host, supervisor: Supervisor, container: Container): Promise<void> {
  const started = supervisor.start(container).catch((error: unknown) => {
    host.log.warn('container cannot start', {
      container: container.id,
      error: errorMessage(error),
    });
  });
  if (clusterWishes(host, container.record).length === 0) await started;
}

function keepClusterNetworks(host: Host, { record }: Container): void {
  for (const wish of clusterWishes(host, record)) host.cluster?.keep(wish);
}

async function finishRemoval(
  host: Host,
  container: Container,
  state: ContainerState | undefined,
): Promise<void> {
  if (state) await forget(host, container.id);
  await discard(host, container, true);
  host.registry.remove(container);
}

/** Its restart policy wants it up. */
function isDue(container: Container, wasRunning: boolean): boolean {
  const { exitCode, stoppedByUser, status } = container.state;
  const last = { exitCode, stoppedByUser, wasRunning };
  const policy = container.record.hostConfig.RestartPolicy;
  return status === 'exited' && startsWithEngine(policy, last);
}

/** @returns whether it runs */
async function adopt(
  host: Host,
  supervisor: Supervisor,
  { container, state }: { container: Container; state: ContainerState | undefined },
): Promise<boolean> {
  const alive = state?.status === 'running' || state?.status === 'paused';
  if (alive) {
    container.pid = state.pid;
    container.paused = state.status === 'paused';
    container.startedAtMs = host.clock.monotonicMs();
    // The crash may have been between the start and the record of it.
    const startedAt = state.startedAtNs === undefined ? undefined : timeText(state.startedAtNs);
    container.setState({ status: 'running', startedAt: startedAt ?? container.state.startedAt });
    await host.records.keep(container);
    return true;
  }
  if (container.running) {
    const finishedAtNs = msToNs(host.clock.now());
    await supervisor.exited(
      container,
      state?.exit ?? { code: 137, oomKilled: false, finishedAtNs },
    );
  } else if (state) {
    await forget(host, container.id);
  }
  return false;
}

async function forget(host: Host, id: string): Promise<void> {
  await host.runtime.delete(id, { force: true }).catch((error: unknown) => {
    host.log.error('container cannot be removed', { container: id, error: errorMessage(error) });
  });
}

async function adoptNetworks(host: Host, live: readonly Container[]): Promise<void> {
  const { network } = host;
  if (!network) return;
  const wired = live.filter(hasSandbox);
  const strangers = await network.readopt(
    new Map(wired.map((container) => [container.id, `/proc/${container.pid}/ns/net`])),
  );
  for (const container of wired) {
    if (strangers.includes(container.id)) await rewire(host, container);
    else container.sandbox = network.inspect(container.id);
  }
}

function hasSandbox(container: Container): boolean {
  const { kind } = networkPlan(container.record);
  return kind === 'own' || kind === 'none';
}

/** Its network is gone, or was never finished: make it anew, or end the container, which nobody could reach. */
async function rewire(host: Host, container: Container): Promise<void> {
  const { log, runtime } = host;
  try {
    container.sandbox = await wire(host, container.record, `/proc/${container.pid}/ns/net`);
    log.warn('container was wired again', { container: container.id });
  } catch (error) {
    log.error('container has lost its network', {
      container: container.id,
      error: errorMessage(error),
    });
    await runtime.kill(container.id, 'SIGKILL').catch(() => undefined); // it may have ended by itself
  }
}

/** Writable layers and secrets of containers that are no more. */
async function removeRemains(host: Host): Promise<void> {
  for (const id of await host.images.layers.snapshots()) {
    if (!host.registry.find(id)) await host.images.layers.removeSnapshot(id);
  }
  await removeStraySecrets(host, (id) => host.registry.find(id) !== undefined);
}
