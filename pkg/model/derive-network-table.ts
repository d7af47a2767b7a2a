import type { Attachment } from './attachment.ts';
import type { NetworkEndpoint, NetworkService, NetworkTable } from './endpoint.ts';
import { compareText, type NetworkId } from './id.ts';
import { isEncrypted, type Network } from './network.ts';
import { networkWishes, taskWeight } from './network-labels.ts';
import type { Node } from './node.ts';
import { endpointMode, networkTargets, type Service } from './service.ts';
import { compareTaskState, slotName, type Task, taskName } from './task.ts';
import type { View } from './view.ts';

/** What every host must know of network `id`; undefined when there is no such network or it is not allocated yet. */
export function deriveNetworkTable(view: View, id: NetworkId): NetworkTable | undefined {
  const network = view.get('network', id);
  if (!network || network.vni === 0) return undefined;
  const keys = view.cluster?.networkKeys;
  const encrypted = isEncrypted(network.spec);
  // Rather none than one that sends in clear.
  if (encrypted && keys === undefined) return undefined;
  const attached = [...view.list('attachment')].filter((one) => one.networkId === id);
  const endpoints = [
    ...[...view.tasksOfNetwork(id)].flatMap((task) => taskEndpoint(view, task, id) ?? []),
    ...attached.flatMap((attachment) => attachedEndpoint(attachment)),
  ].toSorted((left, right) => compareText(left.taskId, right.taskId));
  const services = servicesOf(view, network);
  return {
    networkId: id,
    name: network.spec.Name,
    vni: network.vni,
    dataPathPort: view.cluster?.dataPathPort ?? 4789,
    ingress: network.spec.Ingress === true,
    internal: network.spec.Internal === true,
    mtu: mtuOf(network),
    ...(encrypted && keys && { encryption: { keys: keys.keys, current: keys.current } }),
    subnets: network.subnets.map(({ subnet, gateway }) => ({ subnet, gateway })),
    peers: peersOf(view),
    endpoints,
    services: services.map((service) => networkService(service, network)),
    gateways: gatewaysOf(view, network),
    revision: view.index,
  };
}

/** An address stays in the table until the task is over: packets to a draining task must still arrive. */
function holdsAddress(task: Task): boolean {
  return task.nodeId !== undefined && compareTaskState(task.status.state, 'running') <= 0;
}

/** What the table of network `id` says of a task; undefined when it says nothing of it. */
export function taskEndpoint(view: View, task: Task, id: NetworkId): NetworkEndpoint | undefined {
  const attachment = task.networks.find((net) => net.networkId === id);
  if (attachment === undefined || !holdsAddress(task)) return undefined;
  const spec = view.revision(task.serviceId, task.specVersion)?.spec;
  const serving =
    task.status.state === 'running' &&
    (task.desiredState === 'running' || task.desiredState === 'complete');
  return {
    taskId: task.id,
    nodeId: task.nodeId ?? ('' as NetworkEndpoint['nodeId']),
    serviceId: task.serviceId,
    serviceName: task.serviceName,
    slotName: slotName(task),
    name: taskName(task),
    addresses: attachment.addresses.map(withoutPrefix).filter(usableOn(view, task)),
    aliases: attachment.aliases,
    state: serving ? 'in-service' : 'out',
    weight: spec && taskWeight(spec),
  };
}

/** A node whose kernel was started without IPv6 takes no packets for the addresses of IPv6 that tasks of the mesh have. */
function usableOn(view: View, { nodeId }: Task): (address: string) => boolean {
  const node = nodeId && view.get('node', nodeId);
  const lacksIpv6 = node && node.description?.lacksIpv6 === true;
  return (address) => !lacksIpv6 || !address.includes(':');
}

/** A standalone container is no backend of any service: it has a name and a way there. */
function attachedEndpoint(attachment: Attachment): readonly NetworkEndpoint[] {
  const { id, nodeId, containerName, aliases, address, address6 } = attachment;
  if (address === undefined) return [];
  return [
    {
      taskId: id as string as NetworkEndpoint['taskId'],
      nodeId,
      serviceId: '' as NetworkEndpoint['serviceId'],
      serviceName: '',
      slotName: containerName,
      name: containerName,
      addresses: [address, ...(address6 === undefined ? [] : [address6])].map(withoutPrefix),
      aliases,
      state: 'in-service',
    },
  ];
}

function servicesOf(view: View, network: Network): readonly Service[] {
  const found: Service[] = [];
  for (const service of view.list('service')) {
    const named = networkTargets(service.spec).some(({ target }) => target === network.id);
    const published = service.endpoint.virtualIps.some((vip) => vip.networkId === network.id);
    if (named || published) found.push(service);
  }
  return found.toSorted((left, right) => compareText(left.id, right.id));
}

function networkService(service: Service, network: Network): NetworkService {
  const target = networkTargets(service.spec).find((entry) => entry.target === network.id);
  const wishes = networkWishes(service.spec);
  const vips = service.endpoint.virtualIps.filter((vip) => vip.networkId === network.id);
  const { ports } = service.endpoint;
  return {
    serviceId: service.id,
    vips: endpointMode(service.spec) === 'vip' ? vips.map((vip) => withoutPrefix(vip.address)) : [],
    name: service.spec.Name ?? '',
    aliases: target?.aliases ?? [],
    affinity: wishes.affinity,
    allowFrom: network.spec.Ingress ? undefined : wishes.allowFrom,
    ports: network.spec.Ingress ? ports.filter((port) => port.publishMode === 'ingress') : ports,
    mesh: network.spec.Ingress ? wishes.mesh : undefined,
  };
}

function peersOf(view: View): NetworkTable['peers'] {
  return addressesOf(view, peerAddress);
}

function gatewaysOf(view: View, network: Network): NetworkTable['gateways'] {
  if (!network.spec.Ingress) return [];
  return addressesOf(view, gatewayAddress);
}

function addressesOf(
  view: View,
  addressOf: (node: Node) => string | undefined,
): NetworkTable['peers'] {
  const found: NetworkTable['peers'][number][] = [];
  for (const node of view.list('node')) {
    const address = addressOf(node);
    if (address !== undefined) found.push({ nodeId: node.id, address });
  }
  return found.toSorted((left, right) => compareText(left.nodeId, right.nodeId));
}

/** Where the hosts of a network send what is for a node; undefined when it has not said where it is. */
export function peerAddress(node: Node | undefined): string | undefined {
  return node?.status.address || undefined;
}

/** What a node calls itself in the ingress network; undefined without one. */
export function gatewayAddress(node: Node | undefined): string | undefined {
  return node?.ingressAddress ? withoutPrefix(node.ingressAddress) : undefined;
}

function mtuOf(network: Network): number | undefined {
  const text = network.spec.Options?.['com.docker.network.driver.mtu'];
  const mtu = Number(text);
  return text !== undefined && Number.isInteger(mtu) && mtu > 0 ? mtu : undefined;
}

function withoutPrefix(address: string): string {
  return address.split('/', 1)[0] ?? address;
}
