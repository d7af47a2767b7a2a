import {
  formatIpAddress,
  type IpBlock,
  type IpFamily,
  ipBlockSize,
  isInIpBlock,
  isTerminal,
  type Network,
  type NetworkId,
  parseIpAddress,
  parseIpBlock,
  parseIpv4,
  type Service,
  type View,
} from '../model/index.ts';

/** A subnet and the part of it that addresses are given from. */
interface Range {
  readonly whole: IpBlock;
  readonly block: IpBlock;
}

/** Addresses of one network and family: which are taken, and where the next one is looked for. */
class FamilyAddresses {
  readonly family: IpFamily;
  readonly #ranges: readonly Range[];
  /** By `keyOf`. */
  readonly #taken = new Set<number | bigint>();
  #cursor = 0n;

  constructor(family: IpFamily, ranges: readonly Range[]) {
    this.family = family;
    this.#ranges = ranges.filter(({ whole }) => whole.family === family);
  }

  mark(value: bigint): void {
    this.#taken.add(keyOf(this.family, value));
  }

  /** An IPv4 address as a number. */
  markIpv4(value: number): void {
    this.#taken.add(value | 0);
  }

  /** The next one is looked for behind this. */
  moveTo(value: bigint): void {
    this.#cursor = value;
  }

  moveBeyond(value: bigint): void {
    if (value > this.#cursor) this.#cursor = value;
  }

  free(value: bigint): void {
    this.#taken.delete(keyOf(this.family, value));
  }

  /** This very address, `10.0.1.5/24`; undefined when it is taken or not in the network. */
  takeThis(value: bigint): string | undefined {
    const { family } = this;
    if (this.#taken.has(keyOf(family, value))) return undefined;
    const range = this.#ranges.find(({ whole }) => isInIpBlock({ family, value }, whole));
    return range && this.#give(value, range);
  }

  /** The next free address after the last one given, around the subnet, `10.0.1.5/24`; undefined when full. */
  take(): string | undefined {
    for (const range of this.#ranges) {
      const found = this.#next(range.block);
      if (found === undefined) continue;
      this.#cursor = found;
      return this.#give(found, range);
    }
    return undefined;
  }

  #give(value: bigint, { whole }: Range): string {
    this.mark(value);
    return `${formatIpAddress({ family: this.family, value })}/${whole.bits}`;
  }

  #next(block: IpBlock): bigint | undefined {
    const size = ipBlockSize(block);
    const inside = this.#cursor >= block.first && this.#cursor < block.first + size;
    const start = inside ? this.#cursor - block.first + 1n : 0n;
    for (let step = 0n; step < size; step++) {
      const address = block.first + ((start + step) % size);
      if (!this.#taken.has(keyOf(this.family, address))) return address;
    }
    return undefined;
  }
}

/** IPv4 addresses as small integers, which sets find several times faster. */
function keyOf(family: IpFamily, value: bigint): number | bigint {
  return family === 4 ? Number(value) | 0 : value;
}

interface Entry {
  readonly book: FamilyAddresses;
  readonly value: bigint;
}

/** Addresses of one network, of one or two families. */
class NetworkAddresses {
  readonly #families: readonly FamilyAddresses[];
  readonly #ipv4: FamilyAddresses | undefined;

  constructor(network: Network) {
    const ranges = network.subnets.flatMap((subnet): readonly Range[] => {
      const whole = parseIpBlock(subnet.subnet);
      const block = parseIpBlock(subnet.range ?? subnet.subnet);
      return whole && block ? [{ whole, block }] : [];
    });
    const has = (family: IpFamily): boolean => ranges.some(({ whole }) => whole.family === family);
    this.#families = ([4, 6] as const)
      .filter(has)
      .map((family) => new FamilyAddresses(family, ranges));
    this.#ipv4 = this.#families.find(({ family }) => family === 4);
  }

  /** Nobody else gets it. */
  mark(text: string): void {
    const number = this.#ipv4 && parseIpv4(text);
    if (number !== undefined) {
      this.#ipv4?.markIpv4(number);
      return;
    }
    const entry = this.find(text);
    entry?.book.mark(entry.value);
  }

  /** An address, whose prefix length does not matter, in the book of its family; undefined without such a book. */
  find(text: string): Entry | undefined {
    const address = parseIpAddress(text);
    const book = this.#families.find(({ family }) => family === address?.family);
    return address && book && { book, value: address.value };
  }

  /** One of each family, IPv4 first; undefined when one has none left, and then nothing is taken. */
  take(): readonly string[] | undefined {
    const given = this.takeWanted([]);
    return 'addresses' in given ? given.addresses : undefined;
  }

  /** One of each family, those that are held already kept; undefined when one has none left. */
  takeBeside(held: readonly string[]): readonly string[] | undefined {
    const addresses: string[] = [];
    for (const book of this.#families) {
      const address = held.find((text) => this.find(text)?.book === book) ?? book.take();
      if (address === undefined) return undefined;
      addresses.push(address);
    }
    return addresses;
  }

  /** An IPv4 address alone. */
  takeIpv4(): string | undefined {
    return this.#ipv4?.take();
  }

  /**
   * One of each family, those wanted where they are named.
   * @returns the wish that is not free, nothing when there is no address left; nothing is taken then
   */
  takeWanted(
    wanted: readonly string[],
  ):
    | { readonly addresses: readonly string[] }
    | { readonly refused: string }
    | { readonly full: true } {
    const stranger = wanted.find((text) => this.find(text) === undefined);
    if (stranger !== undefined) return { refused: stranger };
    const addresses: string[] = [];
    for (const book of this.#families) {
      const wish = wanted.find((text) => this.find(text)?.book === book);
      const named = wish === undefined ? undefined : this.find(wish);
      const address = named ? book.takeThis(named.value) : book.take();
      if (address === undefined) {
        this.free(addresses);
        return wish === undefined ? { full: true } : { refused: wish };
      }
      addresses.push(address);
    }
    return { addresses };
  }

  free(addresses: readonly string[]): void {
    for (const text of addresses) {
      const entry = this.find(text);
      entry?.book.free(entry.value);
    }
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
    const addresses = new NetworkAddresses(network);
    this.#networks.set(network.id, addresses);
    reserve(network, addresses);
    this.#markHeld(network, addresses);
    this.#markTasks(network, addresses);
    for (const address of this.#attached(network.id)) hold(addresses, address);
    return addresses;
  }

  #markHeld(network: Network, addresses: NetworkAddresses): void {
    for (const vip of this.#virtualIps(network.id)) hold(addresses, vip);
    if (!network.spec.Ingress) return;
    for (const node of this.#view.list('node')) {
      if (node.ingressAddress !== undefined) hold(addresses, node.ingressAddress);
    }
  }

  /** The newest task says where to go on. */
  #markTasks(network: Network, addresses: NetworkAddresses): void {
    let newest = -1;
    let last: readonly string[] = [];
    for (const task of this.#view.tasksOfNetwork(network.id)) {
      const given = task.networks.find(({ networkId }) => networkId === network.id)?.addresses;
      if (given === undefined) continue;
      if (task.createdAt >= newest) {
        newest = task.createdAt;
        last = given;
      }
      if (isTerminal(task.status.state)) continue;
      for (const text of given) addresses.mark(text);
    }
    for (const text of last) {
      const entry = addresses.find(text);
      entry?.book.moveTo(entry.value);
    }
  }

  *#attached(id: NetworkId): Iterable<string> {
    for (const { networkId, address, address6 } of this.#view.list('attachment')) {
      if (networkId !== id) continue;
      if (address !== undefined) yield address;
      if (address6 !== undefined) yield address6;
    }
  }

  #virtualIps(id: NetworkId): readonly string[] {
    this.#vips ??= virtualIpsByNetwork(this.#view.list('service'));
    return this.#vips.get(id) ?? [];
  }
}

function hold(addresses: NetworkAddresses, text: string): void {
  const entry = addresses.find(text);
  entry?.book.mark(entry.value);
  entry?.book.moveBeyond(entry.value);
}

/**
 * The first address of a subnet (the network itself, in IPv6 its routers), IPv4's broadcast address, the gateway, and
 * what the user set aside.
 */
function reserve(network: Network, addresses: NetworkAddresses): void {
  for (const { subnet, gateway } of network.subnets) {
    const block = parseIpBlock(subnet);
    if (block && ipBlockSize(block) > 2n) {
      const { family, first } = block;
      addresses.mark(formatIpAddress({ family, value: first }));
      const broadcast = first + ipBlockSize(block) - 1n;
      if (family === 4) addresses.mark(formatIpAddress({ family, value: broadcast }));
    }
    addresses.mark(gateway);
  }
  for (const wish of network.spec.IPAM?.Config ?? []) {
    for (const address of Object.values(wish.AuxiliaryAddresses ?? {})) addresses.mark(address);
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
