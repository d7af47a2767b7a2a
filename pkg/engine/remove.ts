import { ClusterError, errorMessage } from '../model/index.ts';
import type { Container } from './container.ts';
import type { Host } from './host.ts';
import { removeSecrets } from './secrets.ts';
import type { Supervisor } from './supervisor.ts';

/**
 * Removes a container and all that is its own.
 * @throws ClusterError `conflict` when it runs and `force` is not set
 */
export async function removeContainer(
  host: Host,
  supervisor: Supervisor,
  container: Container,
  options: { readonly force: boolean; readonly volumes: boolean },
): Promise<void> {
  if (container.running && !options.force) {
    throw new ClusterError(
      'conflict',
      `cannot remove container "${container.name}": container is running: stop the container before removing or force remove`,
    );
  }
  container.restart?.cancel();
  container.restart = undefined;
  container.setState({ stoppedByUser: true });
  if (container.running) await supervisor.terminate(container, { signal: 'SIGKILL', timeoutMs: 0 });
  await container.exclusive(async () => {
    if (host.registry.find(container.id) !== container) return;
    container.setState({ status: 'removing' });
    // A full disk gets no emptier by keeping what is to go.
    await host.records.keep(container);
    await discard(host, container, options.volumes);
    host.registry.remove(container);
    container.tell('removed');
    host.events.emit('container', 'destroy', {
      id: container.id,
      attributes: container.attributes(),
    });
  });
}

/** Everything of a container that does not run; the record goes last, so that a crash is noticed and finished. */
export async function discard(host: Host, container: Container, volumes: boolean): Promise<void> {
  await host.images.layers.removeSnapshot(container.id);
  await removeSecrets(host, container.id);
  if (volumes) await removeAnonymousVolumes(host, container);
  await host.records.remove(container.id);
}

async function removeAnonymousVolumes(host: Host, container: Container): Promise<void> {
  const others = host.registry.list().filter((other) => other !== container);
  const used = new Set(others.flatMap(volumesOf));
  for (const mount of container.record.mounts) {
    if (mount.type !== 'volume' || !mount.anonymous || used.has(mount.volume)) continue;
    await host.volumes.remove(mount.volume).catch((error: unknown) => {
      host.log.warn('volume cannot be removed', {
        volume: mount.volume,
        error: errorMessage(error),
      });
    });
  }
}

/** Names of the volumes a container mounts. */
export function volumesOf(container: Container): readonly string[] {
  return container.record.mounts.flatMap((mount) =>
    mount.type === 'volume' ? [mount.volume] : [],
  );
}
