import type { NetworkService, NetworkTable } from '../model/index.ts';
import { backendsByService, inService } from './backends.ts';

/** What names mean on one network, for DNS. Names are lower case, without the last dot. */
export interface Directory {
  readonly networkName: string;
  /** Undefined: no such name here. An empty list: the name exists and has no address at the moment. */
  lookup(name: string): readonly string[] | undefined;
  /**
   * Who serves a port of a service: `port` is the port's name or number. Undefined: no such service here; an empty list:
   * it has no such port, or nobody serves at the moment.
   */
  servers(port: string, protocol: string, name: string): readonly PortServer[] | undefined;
  /** The name of an address. */
  reverse(address: string): string | undefined;
}

/** What an SRV record says of one task. */
export interface PortServer {
  /** Name of the task on its network: `web.1`. */
  readonly name: string;
  readonly addresses: readonly string[];
  readonly port: number;
  readonly weight: number;
}

const TASKS_PREFIX = 'tasks.';

/**
 * Service and alias → VIP (or all endpoints in service when the service has none), `tasks.NAME` → all endpoints in
 * service, slot and container names → that endpoint, also before it is in service.
 */
export function directoryOfTable(table: NetworkTable): Directory {
  const names = new Map<string, readonly string[]>();
  const reverse = new Map<string, string>();
  // Aliases first, services last: later names win.
  for (const { addresses, aliases } of table.endpoints.filter(inService)) {
    for (const alias of aliases) addAddresses(names, alias, addresses);
  }
  for (const { name, slotName, addresses } of table.endpoints) {
    set(names, slotName, addresses);
    set(names, name, addresses);
    for (const address of addresses) reverse.set(address, name);
  }
  const backends = backendsByService(table);
  for (const service of table.services) {
    const addresses = [...new Set(backends.get(service.serviceId))];
    const answer = service.vips.length > 0 ? service.vips : addresses;
    for (const name of [...service.aliases, service.name]) {
      set(names, name, answer);
      set(names, `${TASKS_PREFIX}${name}`, addresses);
    }
    for (const vip of service.vips) reverse.set(vip, service.name);
  }
  return {
    ...directory(table.name, names, reverse),
    servers: (port, protocol, name) => portServers(table, { port, protocol, name }),
  };
}

function portServers(
  table: NetworkTable,
  {
    port,
    protocol,
    name,
  }: { readonly port: string; readonly protocol: string; readonly name: string },
): readonly PortServer[] | undefined {
  const wanted = [name, withoutSuffix(name, table.name)];
  const isNamed = ({ name: own, aliases }: NetworkService): boolean =>
    [own, ...aliases].some((one) => wanted.includes(one.toLowerCase()));
  const service = table.services.find(isNamed);
  if (service === undefined) return undefined;
  const found = service.ports.find(
    (one) =>
      one.protocol === protocol &&
      (one.name?.toLowerCase() === port || String(one.targetPort) === port),
  );
  if (found === undefined) return [];
  return table.endpoints
    .filter((endpoint) => endpoint.serviceId === service.serviceId && inService(endpoint))
    .map(({ slotName, addresses, weight }) => ({
      name: slotName,
      addresses,
      port: found.targetPort,
      weight: weight ?? 1,
    }));
}

/** A container's names on a local network. */
export interface LocalName {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly addresses: readonly string[];
}

export function directoryOfContainers(
  networkName: string,
  containers: readonly LocalName[],
): Directory {
  const names = new Map<string, readonly string[]>();
  const reverse = new Map<string, string>();
  for (const { aliases, addresses } of containers) {
    for (const alias of aliases) addAddresses(names, alias, addresses);
  }
  for (const { name, addresses } of containers) {
    set(names, name, addresses);
    for (const address of addresses) reverse.set(address, name);
  }
  return directory(networkName, names, reverse);
}

function directory(
  networkName: string,
  names: ReadonlyMap<string, readonly string[]>,
  addresses: ReadonlyMap<string, string>,
): Directory {
  return {
    networkName,
    lookup: (name) => names.get(name) ?? names.get(withoutSuffix(name, networkName)),
    servers: () => undefined,
    reverse: (address) => addresses.get(address),
  };
}

function withoutSuffix(name: string, networkName: string): string {
  const suffix = `.${networkName.toLowerCase()}`;
  return name.endsWith(suffix) ? name.slice(0, -suffix.length) : name;
}

function set(
  names: Map<string, readonly string[]>,
  name: string,
  addresses: readonly string[],
): void {
  names.set(name.toLowerCase(), addresses);
}

function addAddresses(
  names: Map<string, readonly string[]>,
  name: string,
  addresses: readonly string[],
): void {
  set(names, name, [...(names.get(name.toLowerCase()) ?? []), ...addresses]);
}
