import {
  ADDRESS_POOLS_DEFAULT,
  type Cluster,
  formatIpAddress,
  formatIpBlock,
  type IpamConfig,
  type IpBlock,
  type IpFamily,
  ipBlockSize,
  ipBlocksOverlap,
  type NetworkSpec,
  parseIpAddress,
  parseIpBlock,
  SUBNET_SIZE_DEFAULT,
  type Subnet,
} from '../model/index.ts';

/** Prefix length of IPv6 subnets: what hosts expect of a link (RFC 4291 section 2.5.4). */
const IPV6_SUBNET_SIZE = 64;

/** Subnets for a new network, or why there are none. */
export type SubnetAnswer = { readonly subnets: readonly Subnet[] } | { readonly error: string };

/**
 * For each family of the network, IPv4 first: what the user asked for in `IPAM.Config`, else the first block of the
 * cluster's pools that overlaps nothing in `taken`. The gateway is the first address unless named.
 */
export function allocateSubnets(
  spec: NetworkSpec,
  cluster: Cluster | undefined,
  taken: readonly IpBlock[],
): SubnetAnswer {
  const wishes = (spec.IPAM?.Config ?? []).filter((wish) => wish.Subnet);
  const subnets: Subnet[] = [];
  const blocks = [...taken];
  const families: readonly IpFamily[] = spec.EnableIPv6 ? [4, 6] : [4];
  for (const family of families) {
    const own = wishes.filter((wish) => parseIpAddress(wish.Subnet ?? '')?.family === family);
    const found = own.length > 0 ? blocksWanted(own, blocks) : firstFree(family, cluster, blocks);
    if ('error' in found) return found;
    blocks.push(...found);
    subnets.push(...found.map((block, at) => subnetOf(block, own[at] ?? {})));
  }
  return { subnets };
}

type BlockAnswer = readonly IpBlock[] | { readonly error: string };

function blocksWanted(wishes: readonly IpamConfig[], taken: readonly IpBlock[]): BlockAnswer {
  const blocks: IpBlock[] = [];
  for (const { Subnet: subnet } of wishes) {
    const block = parseIpBlock(subnet ?? '');
    if (!block) return { error: `invalid subnet ${subnet}` };
    if ([...taken, ...blocks].some((other) => ipBlocksOverlap(other, block))) {
      return { error: `subnet ${subnet} overlaps with an existing network` };
    }
    blocks.push(block);
  }
  return blocks;
}

function subnetOf(block: IpBlock, { Gateway: gateway, IPRange: range }: IpamConfig): Subnet {
  const { family, first } = block;
  const named = gateway ? parseIpAddress(gateway) : undefined;
  const subnet = {
    subnet: formatIpBlock(block),
    gateway: formatIpAddress(named ?? { family, value: first + 1n }),
  };
  return range ? { ...subnet, range } : subnet;
}

function firstFree(
  family: IpFamily,
  cluster: Cluster | undefined,
  taken: readonly IpBlock[],
): BlockAnswer {
  const size = family === 4 ? cluster?.subnetSize || SUBNET_SIZE_DEFAULT : IPV6_SUBNET_SIZE;
  for (const pool of poolsOf(family, cluster)) {
    const found = firstFreeIn(pool, Math.max(size, pool.bits), taken);
    if (found) return [found];
  }
  return { error: 'no available subnet in the address pools' };
}

function poolsOf(family: IpFamily, cluster: Cluster | undefined): readonly IpBlock[] {
  const of = (texts: readonly string[]): readonly IpBlock[] =>
    texts.flatMap((text) => parseIpBlock(text) ?? []).filter((pool) => pool.family === family);
  const own = of(cluster?.addressPools ?? []);
  if (own.length > 0) return own;
  return family === 4 ? of(ADDRESS_POOLS_DEFAULT) : [uniqueLocalPrefix(cluster?.id ?? '')];
}

/**
 * A /48 of fd00::/8 whose 40 bits (RFC 4193 section 3.2) follow from the cluster's random id: always the same in one
 * cluster, hardly ever the same in two.
 */
function uniqueLocalPrefix(id: string): IpBlock {
  // FNV-1a, 64 bits, folded to 40.
  let hash = 0xcbf29ce484222325n;
  for (const character of id) {
    hash ^= BigInt(character.codePointAt(0) ?? 0);
    hash = BigInt.asUintN(64, hash * 0x100000001b3n);
  }
  const globalId = BigInt.asUintN(40, hash ^ (hash >> 40n));
  return { family: 6, first: (0xfdn << 120n) | (globalId << 80n), bits: 48 };
}

/** Jumps over every block that is in the way, so the cost follows what is taken, not the size of the pool. */
function firstFreeIn(pool: IpBlock, bits: number, taken: readonly IpBlock[]): IpBlock | undefined {
  const end = pool.first + ipBlockSize(pool);
  const step = ipBlockSize({ family: pool.family, bits });
  let candidate: IpBlock = { family: pool.family, first: pool.first, bits };
  while (candidate.first + step <= end) {
    const obstacle = taken.find((other) => ipBlocksOverlap(other, candidate));
    if (!obstacle) return candidate;
    // The first multiple of our own size behind it.
    const behind = obstacle.first + ipBlockSize(obstacle) + step - 1n;
    candidate = { ...candidate, first: behind - (behind % step) };
  }
  return undefined;
}
