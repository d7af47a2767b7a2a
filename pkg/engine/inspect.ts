/** A container in Docker's JSON (ContainerInspectResponse, ContainerSummary, API v1.50). */
import type { AttachedInterface } from '../overlaynet/index.ts';
import type { Container } from './container.ts';
import { type DockerJson, wordsOf } from './docker-shape.ts';
import type { Host } from './host.ts';
import type { ResolvedMount } from './record.ts';
import { humanDuration } from './time.ts';

export function renderInspect(host: Host, container: Container): DockerJson {
  const { record, id } = container;
  const { config, hostConfig } = record;
  const argv = argvOf(container);
  return {
    Id: id,
    Created: record.createdAt,
    Path: argv[0] ?? '',
    Args: argv.slice(1),
    State: renderState(container),
    Image: record.imageId,
    ResolvConfPath: host.records.path(id, 'resolv.conf'),
    HostnamePath: host.records.path(id, 'hostname'),
    HostsPath: host.records.path(id, 'hosts'),
    LogPath: host.records.logPath(id),
    Name: `/${record.name}`,
    RestartCount: container.state.restartCount,
    Driver: 'overlay2',
    Platform: 'linux',
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: '',
    ExecIDs: container.execIds.size > 0 ? [...container.execIds] : null,
    HostConfig: renderHostConfig(container),
    GraphDriver: { Name: 'overlay2', Data: null },
    Mounts: record.mounts.map((mount) => renderMount(host, mount)),
    Config: {
      AttachStdin: false,
      AttachStdout: true,
      AttachStderr: true,
      OnBuild: null,
      ...config,
      Image: record.imageName,
      Cmd: config.Cmd ?? null,
      Entrypoint: config.Entrypoint ?? null,
      Labels: config.Labels ?? {},
    },
    NetworkSettings: renderNetworkSettings(host, container, hostConfig.NetworkMode || 'default'),
  };
}

function argvOf(container: Container): readonly string[] {
  const { Entrypoint, Cmd } = container.record.config;
  return [...(wordsOf(Entrypoint) ?? []), ...(wordsOf(Cmd) ?? [])];
}

/** Docker's word: created running paused restarting removing exited dead. */
export function statusWord(container: Container): string {
  const { status } = container.state;
  if (status === 'running') return container.paused ? 'paused' : 'running';
  if (container.restart && status === 'exited') return 'restarting';
  return status;
}

function renderState(container: Container): DockerJson {
  const { state } = container;
  const word = statusWord(container);
  const health = container.health;
  return {
    Status: word,
    Running: word === 'running' || word === 'paused' || word === 'restarting',
    Paused: word === 'paused',
    Restarting: word === 'restarting',
    OOMKilled: state.oomKilled,
    Dead: false,
    Pid: container.pid,
    ExitCode: state.exitCode,
    Error: state.error,
    StartedAt: state.startedAt,
    FinishedAt: state.finishedAt,
    ...(health
      ? {
          Health: {
            Status: health.status,
            FailingStreak: health.failingStreak,
            Log: health.results,
          },
        }
      : {}),
  };
}

function renderHostConfig(container: Container): DockerJson {
  const { hostConfig } = container.record;
  const set = Object.entries(hostConfig).filter(([, value]) => value !== undefined);
  return {
    Binds: null,
    ContainerIDFile: '',
    PortBindings: {},
    AutoRemove: false,
    VolumeDriver: '',
    VolumesFrom: null,
    CapAdd: null,
    CapDrop: null,
    Dns: [],
    DnsOptions: [],
    DnsSearch: [],
    ExtraHosts: null,
    GroupAdd: null,
    IpcMode: 'private',
    CgroupnsMode: 'private',
    PidMode: '',
    UTSMode: '',
    Privileged: false,
    PublishAllPorts: false,
    ReadonlyRootfs: false,
    SecurityOpt: null,
    ShmSize: 64 << 20,
    Runtime: 'muster',
    Memory: 0,
    NanoCpus: 0,
    PidsLimit: null,
    Ulimits: null,
    Isolation: '',
    ...Object.fromEntries(set),
    LogConfig: {
      Type: hostConfig.LogConfig?.Type || 'json-file',
      Config: hostConfig.LogConfig?.Config ?? {},
    },
    NetworkMode: hostConfig.NetworkMode || 'default',
    RestartPolicy: {
      Name: hostConfig.RestartPolicy?.Name || 'no',
      MaximumRetryCount: hostConfig.RestartPolicy?.MaximumRetryCount ?? 0,
    },
  };
}

export function renderMount(host: Host, mount: ResolvedMount): DockerJson {
  switch (mount.type) {
    case 'bind':
      return {
        Type: 'bind',
        Source: mount.source,
        Destination: mount.target,
        Mode: mount.mode,
        RW: !mount.readOnly,
        Propagation: mount.propagation ?? 'rprivate',
      };
    case 'volume':
      return {
        Type: 'volume',
        Name: mount.volume,
        Source: host.volumes.path(mount.volume),
        Destination: mount.target,
        Driver: 'local',
        Mode: mount.mode,
        RW: !mount.readOnly,
        Propagation: '',
      };
    case 'tmpfs':
      return {
        Type: 'tmpfs',
        Source: '',
        Destination: mount.target,
        Mode: mount.options,
        RW: !mount.readOnly,
        Propagation: '',
      };
  }
}

function renderNetworkSettings(host: Host, container: Container, mode: string): DockerJson {
  const endpoints = renderEndpoints(host, container, mode);
  const bridge = endpoints['bridge'];
  return {
    SandboxID: container.running ? container.id : '',
    SandboxKey: container.running ? `/proc/${container.pid}/ns/net` : '',
    Ports: renderPorts(container),
    Networks: endpoints,
    Bridge: '',
    HairpinMode: false,
    LinkLocalIPv6Address: '',
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: bridge?.['EndpointID'] ?? '',
    Gateway: bridge?.['Gateway'] ?? '',
    GlobalIPv6Address: '',
    GlobalIPv6PrefixLen: 0,
    IPAddress: bridge?.['IPAddress'] ?? '',
    IPPrefixLen: bridge?.['IPPrefixLen'] ?? 0,
    IPv6Gateway: '',
    MacAddress: bridge?.['MacAddress'] ?? '',
  };
}

function renderEndpoints(
  host: Host,
  container: Container,
  mode: string,
): Readonly<Record<string, DockerJson>> {
  const { record, sandbox } = container;
  const found: Record<string, DockerJson> = {};
  for (const overlay of record.task?.overlays ?? []) {
    const link = sandbox?.interfaces.find(({ networkId }) => networkId === overlay.networkId);
    found[overlay.networkName] = renderEndpoint(overlay.networkId, link, {
      address: overlay.address,
      address6: overlay.address6,
      aliases: overlay.aliases,
    });
  }
  for (const [name, endpoint] of Object.entries(record.endpoints)) {
    const networkId = networkIdOf(host, container, name);
    const link = sandbox?.interfaces.find((each) => each.networkId === networkId);
    found[name] = renderEndpoint(networkId, link, {
      address: '',
      aliases: endpoint.Aliases ?? null,
    });
  }
  if (Object.keys(found).length > 0 || mode.startsWith('container:')) return found;
  const name = mode === 'default' ? 'bridge' : mode;
  const networkId = networkIdOf(host, container, name);
  const link = sandbox?.interfaces.find((each) => each.networkId === networkId);
  return { [name]: renderEndpoint(networkId, link, { address: '', aliases: null }) };
}

/** Empty for a network of the cluster's that the container is not on at present. */
function networkIdOf(host: Host, { id }: Container, name: string): string {
  return host.networks.find(name)?.id ?? host.cluster?.networkIdOf(id, name) ?? '';
}

function renderEndpoint(
  networkId: string,
  link: AttachedInterface | undefined,
  asked: {
    readonly address: string;
    readonly address6?: string | undefined;
    readonly aliases: readonly string[] | null;
  },
): DockerJson {
  const [address = '', prefix = '0'] = (link?.address ?? asked.address).split('/');
  const [address6 = '', prefix6 = '0'] = (link?.address6 ?? '').split('/');
  const [asked6] = (asked.address6 ?? '').split('/');
  return {
    IPAMConfig:
      asked.address === ''
        ? null
        : { IPv4Address: address, ...(asked6 && { IPv6Address: asked6 }) },
    Links: null,
    Aliases: asked.aliases,
    MacAddress: link?.mac ?? '',
    DriverOpts: null,
    NetworkID: networkId,
    EndpointID: link ? `${networkId}${link.mac.replaceAll(':', '')}` : '',
    Gateway: link?.gateway ?? '',
    IPAddress: link ? address : '',
    IPPrefixLen: link ? Number(prefix) : 0,
    IPv6Gateway: link?.gateway6 ?? '',
    GlobalIPv6Address: address6,
    GlobalIPv6PrefixLen: Number(prefix6),
    DNSNames: asked.aliases,
  };
}

/** `{"80/tcp": [{HostIp, HostPort}], "443/tcp": null}` */
function renderPorts(container: Container): DockerJson {
  const ports: Record<string, { HostIp: string; HostPort: string }[] | null> = {};
  for (const key of Object.keys(container.record.config.ExposedPorts ?? {})) ports[key] = null;
  for (const port of container.sandbox?.hostPorts ?? []) {
    const key = `${port.targetPort}/${port.protocol}`;
    const HostIp = port.hostIp ?? '0.0.0.0';
    ports[key] = [...(ports[key] ?? []), { HostIp, HostPort: String(port.publishedPort) }];
  }
  return ports;
}

export function renderSummary(host: Host, container: Container, now: number): DockerJson {
  const { record } = container;
  const mode = record.hostConfig.NetworkMode || 'default';
  const open = container.sandbox?.hostPorts ?? [];
  const exposed = Object.keys(record.config.ExposedPorts ?? {}).filter(
    (key) => !open.some(({ targetPort, protocol }) => key === `${targetPort}/${protocol}`),
  );
  return {
    Id: container.id,
    Names: [`/${record.name}`],
    Image: record.imageName,
    ImageID: record.imageId,
    Command: argvOf(container).join(' '),
    Created: Math.floor(Date.parse(record.createdAt) / 1000),
    Ports: [
      ...open.map((port) => ({
        IP: port.hostIp ?? '0.0.0.0',
        PrivatePort: port.targetPort,
        PublicPort: port.publishedPort,
        Type: port.protocol,
      })),
      ...exposed.map((key) => ({
        PrivatePort: Number(key.split('/')[0]),
        Type: key.split('/')[1] ?? 'tcp',
      })),
    ],
    Labels: record.config.Labels ?? {},
    State: statusWord(container),
    Status: statusText(container, now),
    HostConfig: { NetworkMode: mode },
    NetworkSettings: { Networks: renderEndpoints(host, container, mode) },
    Mounts: record.mounts.map((mount) => renderMount(host, mount)),
  };
}

/** `Up 3 minutes (healthy)`, `Exited (0) 2 hours ago`, as `docker ps` prints it. */
export function statusText(container: Container, now: number): string {
  const { state } = container;
  const since = (text: string): string => humanDuration(now - Date.parse(text));
  switch (statusWord(container)) {
    case 'running': {
      const up = `Up ${since(state.startedAt)}`;
      if (!container.health) return up;
      const health = container.health.status;
      return `${up} (${health === 'starting' ? 'health: starting' : health})`;
    }
    case 'paused':
      return `Up ${since(state.startedAt)} (Paused)`;
    case 'restarting':
      return `Restarting (${state.exitCode}) ${since(state.finishedAt)} ago`;
    case 'created':
      return 'Created';
    case 'removing':
      return 'Removal In Progress';
    default:
      return `Exited (${state.exitCode}) ${since(state.finishedAt)} ago`;
  }
}
