/** How a container is wired, read from its record. Pure but for the names it looks up. */
import { ClusterError, formatIpAddress, parseIpAddress } from '../model/index.ts';
import type { HostPort } from '../overlaynet/index.ts';
import type { EndpointConfig, PortBinding } from './docker-shape.ts';
import type { ContainerRecord } from './record.ts';

export type NetworkPlan =
  | { readonly kind: 'host' }
  | { readonly kind: 'none' }
  /** In the namespace of another container. */
  | { readonly kind: 'container'; readonly container: string }
  /** Its own namespace; local networks by name. */
  | { readonly kind: 'own'; readonly local: ReadonlyMap<string, EndpointConfig> };

export function networkPlan(record: ContainerRecord): NetworkPlan {
  const mode = record.hostConfig.NetworkMode || 'default';
  if (mode === 'host') return { kind: 'host' };
  if (mode === 'none' || record.config.NetworkDisabled) return { kind: 'none' };
  if (mode.startsWith('container:')) return { kind: 'container', container: mode.slice(10) };
  const local = new Map<string, EndpointConfig>(Object.entries(record.endpoints));
  const onOverlays = (record.task?.overlays ?? []).length > 0;
  if (local.size === 0 && !(mode === 'default' && onOverlays)) {
    local.set(mode === 'default' ? 'bridge' : mode, {});
  }
  return { kind: 'own', local };
}

/** The ports a container publishes on this host. @throws ClusterError `invalid` */
export function hostPorts(record: ContainerRecord): readonly HostPort[] {
  if (record.task) {
    return record.task.hostPorts.map(({ protocol, targetPort, publishedPort, listenOn }) => ({
      protocol: supported(protocol),
      targetPort,
      publishedPort,
      listenOn,
    }));
  }
  const bindings = record.hostConfig.PortBindings ?? {};
  const ports = Object.entries(bindings).flatMap(([key, list]) =>
    (list ?? []).map((binding) => hostPort(key, binding)),
  );
  if (!record.hostConfig.PublishAllPorts) return ports;
  const exposed = Object.keys(record.config.ExposedPorts ?? {}).filter((key) => !(key in bindings));
  return [...ports, ...exposed.map((key) => hostPort(key, {}))];
}

function hostPort(key: string, binding: PortBinding): HostPort {
  const { protocol, port } = parsePort(key);
  const publishedPort = Number((binding.HostPort || '0').split('-')[0]);
  if (!Number.isInteger(publishedPort) || publishedPort < 0 || publishedPort > 65_535) {
    throw new ClusterError('invalid', `invalid port specification: "${binding.HostPort}"`);
  }
  const address = binding.HostIp ? parseIpAddress(binding.HostIp) : undefined;
  if (binding.HostIp && (address === undefined || binding.HostIp.includes('/'))) {
    throw new ClusterError('invalid', `invalid hostIP: ${binding.HostIp}`);
  }
  const hostIp = address && formatIpAddress(address);
  return { protocol, targetPort: port, publishedPort, hostIp };
}

function supported(protocol: string): 'tcp' | 'udp' {
  if (protocol === 'tcp' || protocol === 'udp') return protocol;
  throw new ClusterError('invalid', `publishing ${protocol} ports on a host is not supported`);
}

/** `80/tcp` or `80`. */
export function parsePort(key: string): {
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
} {
  const [text = '', protocol = 'tcp'] = key.split('/');
  const port = Number(text.split('-')[0]);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new ClusterError('invalid', `invalid port specification: "${key}"`);
  }
  return { protocol: supported(protocol), port };
}

/** `--add-host` entries as `name:address`; `host-gateway` is resolved by the caller. */
export function extraHosts(record: ContainerRecord): readonly string[] {
  return (record.hostConfig.ExtraHosts ?? []).map((entry) =>
    entry.includes('=') ? entry.replace('=', ':') : entry,
  );
}
