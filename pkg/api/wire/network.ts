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
  options: { readonly verbose?: boolean | undefined } = {},
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
    Containers: {},
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
  if (network.subnets.length === 0) return [...(network.spec.IPAM?.Config ?? [])];
  return network.subnets.map(({ subnet, range, gateway }) => ({
    Subnet: subnet,
    ...(range && { IPRange: range }),
    Gateway: gateway,
  }));
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
