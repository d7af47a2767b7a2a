import type {
  MeshWishes,
  NetworkEndpoint,
  NetworkId,
  NetworkTable,
  NodeId,
  PublishedPort,
  ServiceId,
  TaskId,
  Version,
} from '../../model/index.ts';

export interface TestEndpoint {
  readonly address: string;
  readonly address6?: string | undefined;
  readonly node: number;
  readonly service?: string | undefined;
  readonly out?: boolean | undefined;
  readonly aliases?: readonly string[] | undefined;
  readonly weight?: number | undefined;
}

/** Of the addresses that hosts reach each other at. */
export type HostFamily = 'ipv4' | 'ipv6';

export function hostAddress(number: number, family: HostFamily): string {
  return family === 'ipv4' ? `192.168.50.${number}` : `fd00:50::${number.toString(16)}`;
}

/** A network table as the store would derive it: node `n` is at its `hostAddress`, services are named by their id. */
export function networkTable(options: {
  readonly name?: string | undefined;
  readonly ingress?: boolean | undefined;
  readonly internal?: boolean | undefined;
  readonly vni?: number | undefined;
  readonly subnet?: string | undefined;
  readonly subnet6?: string | undefined;
  readonly nodes?: number | undefined;
  readonly hosts?: HostFamily | undefined;
  readonly endpoints: readonly TestEndpoint[];
  readonly services?: readonly {
    readonly name: string;
    readonly vip?: string | undefined;
    readonly vip6?: string | undefined;
    readonly ports?: readonly PublishedPort[] | undefined;
    readonly aliases?: readonly string[] | undefined;
    readonly affinity?: 'client' | undefined;
    readonly allowFrom?: readonly string[] | undefined;
    readonly mesh?: MeshWishes | undefined;
  }[];
  readonly revision?: number | undefined;
}): NetworkTable {
  const { name = 'app', ingress = false, subnet = '10.0.1.0/24', subnet6, nodes = 3 } = options;
  const numbers = Array.from({ length: nodes }, (_, index) => index + 1);
  const prefix = subnet.split('.').slice(0, 3).join('.');
  return {
    networkId: `${name}-id` as NetworkId,
    name,
    vni: options.vni ?? (ingress ? 4096 : 4097),
    dataPathPort: 4789,
    ingress,
    internal: options.internal ?? false,
    subnets: [
      { subnet, gateway: `${prefix}.1` },
      ...(subnet6 === undefined ? [] : [{ subnet: subnet6, gateway: subnet6.replace('/64', '1') }]),
    ],
    peers: numbers.map((number) => ({
      nodeId: `node-${number}` as NodeId,
      address: hostAddress(number, options.hosts ?? 'ipv4'),
    })),
    endpoints: options.endpoints.map(endpoint),
    services: (options.services ?? []).map((service) => ({
      serviceId: `${service.name}-id` as ServiceId,
      name: service.name,
      vips: [service.vip, service.vip6].filter((vip) => vip !== undefined),
      aliases: service.aliases ?? [],
      affinity: service.affinity,
      allowFrom: service.allowFrom,
      mesh: service.mesh,
      ports: service.ports ?? [],
    })),
    gateways: ingress
      ? numbers.map((number) => ({
          nodeId: `node-${number}` as NodeId,
          address: `${prefix}.${200 + number}`,
        }))
      : [],
    revision: (options.revision ?? 1) as Version,
  };
}

function endpoint(given: TestEndpoint, index: number): NetworkEndpoint {
  const service = given.service ?? 'web';
  return {
    taskId: `task${index}` as TaskId,
    nodeId: `node-${given.node}` as NodeId,
    serviceId: `${service}-id` as ServiceId,
    serviceName: service,
    slotName: `${service}.${index + 1}`,
    name: `${service}.${index + 1}.task${index}`,
    addresses: [given.address, given.address6].filter((address) => address !== undefined),
    aliases: given.aliases ?? [],
    state: given.out === true ? 'out' : 'in-service',
    weight: given.weight,
  };
}
