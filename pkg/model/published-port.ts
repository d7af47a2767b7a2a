import { ClusterError } from './error.ts';
import type { ServiceId } from './id.ts';
import { type PublishedPort, portsAsked, type Service } from './service.ts';
import type { ServiceSpec } from './service-spec.ts';
import type { View } from './view.ts';

/** The first port of `ports` that another service holds, and who holds it. */
export interface PortConflict {
  readonly port: number;
  readonly holder: Service;
  readonly holderMode: PublishedPort['publishMode'];
}

/**
 * Host-mode ports of two services may be equal (each node has its own); everything else may not.
 * `services` are the other services, or all of them: `serviceId`'s own ports never conflict.
 */
export function findPortConflict(
  services: Iterable<Service>,
  ports: readonly PublishedPort[],
  serviceId: ServiceId | undefined,
): PortConflict | undefined {
  const wanted = ports.filter((port) => port.publishedPort > 0);
  if (wanted.length === 0) return undefined;
  for (const holder of services) {
    if (holder.id === serviceId) continue;
    for (const held of [...portsAsked(holder.spec), ...holder.endpoint.ports]) {
      const clash = wanted.find((port) => collide(port, held));
      if (clash) return { port: clash.publishedPort, holder, holderMode: held.publishMode };
    }
  }
  return undefined;
}

/** Docker's words for a conflict. */
export function portConflictText({ port, holder, holderMode }: PortConflict): string {
  const how = holderMode === 'host' ? 'a host-published port' : 'an ingress port';
  return `port '${port}' is already in use by service '${holder.spec.Name ?? ''}' (${holder.id}) as ${how}`;
}

/**
 * Throws `ClusterError` when a port that `spec` wants is taken by another service. `serviceId` is the service being
 * updated; undefined for a new one.
 */
export function checkPortConflict(
  view: View,
  spec: ServiceSpec,
  serviceId: ServiceId | undefined,
): void {
  const conflict = findPortConflict(view.list('service'), portsAsked(spec), serviceId);
  if (!conflict) return;
  const text = `rpc error: code = InvalidArgument desc = ${portConflictText(conflict)}`;
  throw new ClusterError('invalid', text, { code: 'ERR_PORT_IN_USE' });
}

function collide(left: PublishedPort, right: PublishedPort): boolean {
  const bothHost = left.publishMode === 'host' && right.publishMode === 'host';
  const same = left.publishedPort === right.publishedPort && left.protocol === right.protocol;
  return same && !bothHost;
}
