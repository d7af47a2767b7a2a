import {
  compareTaskState,
  endpointMode,
  type Network,
  networkTargets,
  type Service,
  type Task,
  taskName,
  type View,
} from '../../model/index.ts';
import type { DockerJson } from '../engine.ts';
import { timeText } from './time.ts';

/** The Engine API's Network, for one that lives in the cluster. */
export function renderNetwork(
  view: View,
  network: Network,
  options: {
    readonly verbose?: boolean | undefined;
    /** Who is on it, as `inspect` shows and `ls` does not. */
    readonly members?: boolean | undefined;
  } = {},
): DockerJson {
  const { spec } = network;
  return {
    Name: spec.Name,
    Id: network.id,
    Created: timeText(network.createdAt),
    Scope: 'swarm',
    Driver: spec.Driver || 'overlay',
    EnableIPv4: true,
    EnableIPv6: spec.EnableIPv6 ?? false,
    IPAM: {
      Driver: spec.IPAM?.Driver || 'default',
      Options: spec.IPAM?.Options ?? null,
      Config: renderSubnets(network),
    },
    Internal: spec.Internal ?? false,
    Attachable: spec.Attachable ?? false,
    Ingress: spec.Ingress ?? false,
    ConfigFrom: { Network: '' },
    ConfigOnly: false,
    Containers: options.members ? renderMembers(view, network) : {},
    Options: {
      ...(network.vni > 0 && {
        'com.docker.network.driver.overlay.vxlanid_list': String(network.vni),
      }),
      ...spec.Options,
    },
    Labels: spec.Labels ?? {},
    ...(options.verbose && { Peers: renderPeers(view), Services: renderServices(view, network) }),
  };
}

/** What was allocated, or what was asked for until then. */
function renderSubnets(network: Network): readonly DockerJson[] {
  if (network.subnets.length === 0)
    return (network.spec.IPAM?.Config ?? []).map((config) => ({ ...config }));
  return network.subnets.map(({ subnet, range, gateway }) => ({
    Subnet: subnet,
    ...(range && { IPRange: range }),
    Gateway: gateway,
  }));
}

/** Containers of tasks and standalone ones, on whichever node: Docker shows those of the daemon that is asked. */
function renderMembers(view: View, network: Network): DockerJson {
  const tasks = [...view.tasksOfNetwork(network.id)].flatMap((task) => {
    const attachment = task.networks.find(({ networkId }) => networkId === network.id);
    const [address, address6] = attachment?.addresses ?? [];
    const { containerId, state } = task.status;
    if (containerId === undefined || address === undefined || state !== 'running') return [];
    return [{ containerId, name: taskName(task), address, address6 }];
  });
  const standalone = [...view.list('attachment')].flatMap((attachment) => {
    const { networkId, containerId, containerName: name, address, address6 } = attachment;
    return networkId === network.id && address !== undefined
      ? [{ containerId, name, address, address6 }]
      : [];
  });
  return Object.fromEntries(
    [...tasks, ...standalone].map(({ containerId, name: Name, address, address6 = '' }) => {
      const MacAddress = macOf(address);
      const EndpointID = `${network.id}${MacAddress.replaceAll(':', '')}`;
      const addresses = { IPv4Address: address, IPv6Address: address6 };
      return [containerId, { Name, EndpointID, MacAddress, ...addresses }];
    }),
  );
}

/** As every node derives it: 02:42 and the bytes of the address. */
function macOf(address: string): string {
  const bytes = [0x02, 0x42, ...withoutPrefix(address).split('.').map(Number)];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

function renderPeers(view: View): readonly DockerJson[] {
  return [...view.list('node')]
    .filter((node) => node.status.address !== '')
    .map((node) => ({ Name: node.id, IP: node.status.address }));
}

function renderServices(view: View, network: Network): DockerJson {
  const services = [...view.list('service')].filter((service) =>
    networkTargets(service.spec).some(({ target }) => target === network.id),
  );
  return Object.fromEntries(
    services.map((service) => [
      service.spec.Name ?? '',
      renderNetworkService(view, network, service),
    ]),
  );
}

function renderNetworkService(view: View, network: Network, service: Service): DockerJson {
  const vip = service.endpoint.virtualIps.find(({ networkId }) => networkId === network.id);
  const live = [...view.tasksOfService(service.id)].filter(
    (task) => task.nodeId && compareTaskState(task.status.state, 'running') <= 0,
  );
  return {
    VIP: endpointMode(service.spec) === 'vip' ? withoutPrefix(vip?.address) : '',
    Ports: service.endpoint.ports.map(
      (port) => `Target: ${port.targetPort}, Publish: ${port.publishedPort}`,
    ),
    LocalLBIndex: 0,
    Tasks: live.map((task) => renderNetworkTask(view, network, task)),
  };
}

function renderNetworkTask(view: View, network: Network, task: Task): DockerJson {
  const node = task.nodeId && view.get('node', task.nodeId);
  const attachment = task.networks.find(({ networkId }) => networkId === network.id);
  return {
    Name: taskName(task),
    EndpointID: '',
    EndpointIP: withoutPrefix(attachment?.addresses[0]),
    Info: { 'Host IP': node ? node.status.address : '' },
  };
}

function withoutPrefix(address: string | undefined): string {
  return address?.split('/', 1)[0] ?? '';
}
