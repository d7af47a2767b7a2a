import { type AttachmentWish, ClusterError } from '../model/index.ts';
import type { LocalAttachment, OverlayAttachment } from '../overlaynet/index.ts';
import type { Container } from './container.ts';
import type { EndpointConfig } from './docker-shape.ts';
import type { Host } from './host.ts';
import { networkPlan } from './network-plan.ts';
import type { ContainerRecord } from './record.ts';

/** The container's networks that this host does not have itself: the cluster's, if it is in one. */
export function clusterWishes(host: Host, record: ContainerRecord): readonly AttachmentWish[] {
  const plan = networkPlan(record);
  if (plan.kind !== 'own' || !host.cluster) return [];
  return [...plan.local]
    .filter(([name]) => host.networks.find(name) === undefined)
    .map(([name, endpoint]) => wishOf(record, name, endpoint));
}

export function wishOf(
  record: ContainerRecord,
  network: string,
  endpoint: EndpointConfig,
): AttachmentWish {
  return {
    containerId: record.id,
    containerName: record.name,
    network,
    aliases: [...(endpoint.Aliases ?? []), record.id.slice(0, 12)],
    wantedAddress: endpoint.IPAMConfig?.IPv4Address || undefined,
    wantedAddress6: endpoint.IPAMConfig?.IPv6Address || undefined,
  };
}

/** Where a container shall be attached: local networks, and the cluster's with their addresses. */
export async function attachmentsOf(
  host: Host,
  record: ContainerRecord,
  local: ReadonlyMap<string, EndpointConfig>,
): Promise<{
  readonly overlays: readonly OverlayAttachment[];
  readonly localNetworks: readonly LocalAttachment[];
}> {
  const wishes = clusterWishes(host, record);
  const foreign = new Set(wishes.map(({ network }) => network));
  const localNetworks = [...local]
    .filter(([name]) => !foreign.has(name))
    .map(([name, endpoint]) => host.networks.attachment(name, endpoint));
  const overlays = wishes.length === 0 ? [] : await host.cluster?.attach(wishes);
  return { overlays: overlays ?? [], localNetworks };
}

/** `docker network connect` of a network that only the cluster has. */
export function connectToCluster(
  host: Host,
  container: Container,
  wanted: { readonly network: string; readonly endpoint: EndpointConfig },
): Promise<void> {
  const { network, endpoint } = wanted;
  return change(host, container, async (endpoints) => {
    if (keyOf(host, container, network) !== undefined) throw alreadyThere(container, network);
    endpoints.set(network, endpoint);
    if (!container.running) return;
    const wish = wishOf(container.record, network, endpoint);
    const [given] = (await host.cluster?.attach([wish])) ?? [];
    if (given) host.network?.connect(container.id, given);
  });
}

/** `docker network disconnect` of a network that only the cluster has, by the name or id of it. */
export function disconnectFromCluster(
  host: Host,
  container: Container,
  network: string,
): Promise<void> {
  return change(host, container, async (endpoints) => {
    const name = keyOf(host, container, network);
    if (name === undefined) throw notThere(container, network);
    endpoints.delete(name);
    const id = host.cluster?.networkIdOf(container.id, name);
    if (id !== undefined && container.running) host.network?.disconnect(container.id, id);
    host.cluster?.release(container.id, name);
  });
}

async function change(
  host: Host,
  container: Container,
  work: (endpoints: Map<string, EndpointConfig>) => Promise<void>,
): Promise<void> {
  await container.exclusive(async () => {
    const plan = networkPlan(container.record);
    if (plan.kind !== 'own') throw sharedNamespace();
    const endpoints = new Map(plan.local);
    await work(endpoints);
    if (container.running) container.sandbox = host.network?.inspect(container.id);
    container.record = { ...container.record, endpoints: Object.fromEntries(endpoints) };
    await host.records.save(container.record);
  });
}

/** The name under which the container knows a network given by name or id. */
function keyOf(host: Host, container: Container, network: string): string | undefined {
  const plan = networkPlan(container.record);
  const names = plan.kind === 'own' ? [...plan.local.keys()] : [];
  return names.find(
    (name) => name === network || host.cluster?.networkIdOf(container.id, name) === network,
  );
}

function sharedNamespace(): ClusterError {
  return new ClusterError(
    'forbidden',
    'container sharing network namespace with another container or host cannot be connected to any other network',
  );
}

function alreadyThere({ name }: Container, network: string): ClusterError {
  const text = `endpoint with name ${name} already exists in network ${network}`;
  return new ClusterError('forbidden', text);
}

function notThere({ id }: Container, network: string): ClusterError {
  const text = `container ${id} is not connected to the network ${network}`;
  return new ClusterError('forbidden', text);
}
