import {
  ADDRESS_POOLS_DEFAULT,
  type Cluster,
  type NetworkSpec,
  SUBNET_SIZE_DEFAULT,
  type Subnet,
} from '../model/index.ts';
import {
  type Block,
  blockSize,
  formatAddress,
  formatBlock,
  overlaps,
  parseAddress,
  parseBlock,
} from './ipv4.ts';

/** Subnets for a new network, or why there are none. */
export type SubnetAnswer = { readonly subnets: readonly Subnet[] } | { readonly error: string };

/**
 * What the user asked for in `IPAM.Config`, else the first block of the cluster's pools that overlaps nothing in
 * `taken`. The gateway is the first address unless named.
 */
export function allocateSubnets(
  spec: NetworkSpec,
  cluster: Cluster | undefined,
  taken: readonly Block[],
): SubnetAnswer {
  const wishes = (spec.IPAM?.Config ?? []).filter((wish) => wish.Subnet);
  if (wishes.length === 0) {
    const block = firstFree(cluster, taken);
    if (!block) return { error: 'no available subnet in the address pools' };
    return { subnets: [subnetOf(block, undefined, undefined)] };
  }
  const subnets: Subnet[] = [];
  const blocks = [...taken];
  for (const wish of wishes) {
    const block = parseBlock(wish.Subnet ?? '');
    if (!block) return { error: `invalid subnet ${wish.Subnet}` };
    if (blocks.some((other) => overlaps(other, block))) {
      return { error: `subnet ${wish.Subnet} overlaps with an existing network` };
    }
    blocks.push(block);
    subnets.push(subnetOf(block, wish.Gateway, wish.IPRange));
  }
  return { subnets };
}

function subnetOf(block: Block, gateway: string | undefined, range: string | undefined): Subnet {
  const named = gateway ? parseAddress(gateway.split('/', 1)[0] ?? '') : undefined;
  const subnet = { subnet: formatBlock(block), gateway: formatAddress(named ?? block.first + 1) };
  return range ? { ...subnet, range } : subnet;
}

function firstFree(cluster: Cluster | undefined, taken: readonly Block[]): Block | undefined {
  const pools = cluster?.addressPools.length ? cluster.addressPools : ADDRESS_POOLS_DEFAULT;
  const bits = cluster?.subnetSize || SUBNET_SIZE_DEFAULT;
  for (const text of pools) {
    const pool = parseBlock(text);
    if (!pool) continue;
    const found = firstFreeIn(pool, Math.max(bits, pool.bits), taken);
    if (found) return found;
  }
  return undefined;
}

/** Jumps over every block that is in the way, so the cost follows what is taken, not the size of the pool. */
function firstFreeIn(pool: Block, bits: number, taken: readonly Block[]): Block | undefined {
  const end = pool.first + blockSize(pool);
  let candidate: Block = { first: pool.first, bits };
  while (candidate.first + blockSize(candidate) <= end) {
    const obstacle = taken.find((other) => overlaps(other, candidate));
    if (!obstacle) return candidate;
    const step = blockSize(candidate);
    const next = obstacle.first + blockSize(obstacle);
    candidate = { first: Math.max(candidate.first + step, Math.ceil(next / step) * step), bits };
  }
  return undefined;
}
