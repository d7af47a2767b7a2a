import {
  isTerminal,
  type Network,
  type NetworkId,
  type Service,
  type View,
} from '../model/index.ts';
import { addressOf, type Block, blockSize, formatAddress, parseBlock } from './ipv4.ts';

/** Addresses of one network: which are taken, and where the next one is looked for. */
class NetworkAddresses {
  readonly #ranges: readonly {
    readonly whole: Block;
    readonly block: Block;
    readonly bits: number;
  }[];
  readonly #taken: Set<number>;
  #cursor: number;

  constructor(network: Network, taken: Set<number>, last: number) {
    this.#taken = taken;
    this.#cursor = last;
    this.#ranges = network.subnets.flatMap((subnet) => {
      const whole = parseBlock(subnet.subnet);
      const block = parseBlock(subnet.range ?? subnet.subnet);
      return whole && block ? [{ whole, block, bits: whole.bits }] : [];
    });
  }

  has(address: string): boolean {
    const value = addressOf(address);
    return value !== undefined && this.#taken.has(value);
  }

  free(address: string): void {
    const value = addressOf(address);
    if (value !== undefined) this.#taken.delete(value);
  }

  /** This very address, `10.0.1.5/24`; undefined when it is taken or not in the network. */
  takeThis(address: string): string | undefined {
    const value = addressOf(address);
    if (value === undefined || this.#taken.has(value)) return undefined;
    for (const { whole, bits } of this.#ranges) {
      if (value < whole.first || value >= whole.first + blockSize(whole)) continue;
      this.#taken.add(value);
      return `${formatAddress(value)}/${bits}`;
    }
    return undefined;
  }

  /** The next free address after the last one given, around the subnet, `10.0.1.5/24`; undefined when full. */
  take(): string | undefined {
    for (const { block, bits } of this.#ranges) {
      const found = this.#next(block);
      if (found === undefined) continue;
      this.#taken.add(found);
      this.#cursor = found;
      return `${formatAddress(found)}/${bits}`;
    }
    return undefined;
  }

  #next(block: Block): number | undefined {
    const size = blockSize(block);
    const inside = this.#cursor >= block.first && this.#cursor < block.first + size;
    const start = inside ? this.#cursor - block.first + 1 : 0;
    for (let step = 0; step < size; step++) {
      const address = block.first + ((start + step) % size);
      if (!this.#taken.has(address)) return address;
    }
    return undefined;
  }
}

/**
 * Every address in use, per network, read from the objects when a network is first asked for in a pass. Addresses are
 * given in order around the subnet, so that one just freed is the last to be given again.
 */
export class AddressBook {
  readonly #view: View;
  readonly #networks = new Map<NetworkId, NetworkAddresses>();
  #vips: Map<NetworkId, string[]> | undefined;

  constructor(view: View) {
    this.#view = view;
  }

  of(network: Network): NetworkAddresses {
    const known = this.#networks.get(network.id);
    if (known) return known;
    const taken = new Set<number>();
    const add = (text: string | undefined): number => {
      const address = text === undefined ? undefined : addressOf(text);
      if (address !== undefined) taken.add(address);
      return address ?? 0;
    };
    reserve(network, add);
    let last = 0;
    for (const vip of this.#virtualIps(network.id)) last = Math.max(last, add(vip));
    if (network.spec.Ingress) {
      for (const node of this.#view.list('node')) last = Math.max(last, add(node.ingressAddress));
    }
    let newest = -1;
    for (const task of this.#view.tasksOfNetwork(network.id)) {
      const attachment = task.networks.find(({ networkId }) => networkId === network.id);
      const [address] = attachment?.addresses ?? [];
      const over = isTerminal(task.status.state);
      const value = over ? (addressOf(address ?? '') ?? 0) : add(address);
      if (task.createdAt < newest) continue;
      newest = task.createdAt;
      last = value;
    }
    for (const address of this.#attached(network.id)) last = Math.max(last, add(address));
    const addresses = new NetworkAddresses(network, taken, last);
    this.#networks.set(network.id, addresses);
    return addresses;
  }

  *#attached(id: NetworkId): Iterable<string> {
    for (const { networkId, address } of this.#view.list('attachment')) {
      if (networkId === id && address !== undefined) yield address;
    }
  }

  #virtualIps(id: NetworkId): readonly string[] {
    this.#vips ??= virtualIpsByNetwork(this.#view.list('service'));
    return this.#vips.get(id) ?? [];
  }
}

/** Network and broadcast address, gateway, and what the user set aside. */
function reserve(network: Network, add: (text: string) => number): void {
  for (const { subnet, gateway } of network.subnets) {
    const block = parseBlock(subnet);
    if (block && block.bits < 31) {
      add(formatAddress(block.first));
      add(formatAddress(block.first + blockSize(block) - 1));
    }
    add(gateway);
  }
  for (const wish of network.spec.IPAM?.Config ?? []) {
    for (const address of Object.values(wish.AuxiliaryAddresses ?? {})) add(address);
  }
}

function virtualIpsByNetwork(services: Iterable<Service>): Map<NetworkId, string[]> {
  const byNetwork = new Map<NetworkId, string[]>();
  for (const service of services) {
    for (const { networkId, address } of service.endpoint.virtualIps) {
      const list = byNetwork.get(networkId);
      if (list) list.push(address);
      else byNetwork.set(networkId, [address]);
    }
  }
  return byNetwork;
}
