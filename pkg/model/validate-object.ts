import { ClusterError } from './error.ts';
import {
  formatIpBlock,
  type IpBlock,
  ipBlocksOverlap,
  isInIpBlock,
  parseIpAddress,
  parseIpBlock,
} from './ip-address.ts';
import {
  INGRESS_NETWORK_NAME,
  type IpamConfig,
  type Network,
  type NetworkSpec,
} from './network.ts';
import type { ConfigSpec, SecretSpec } from './secret.ts';
import { refuseUnsupportedNetwork } from './validate-network.ts';
import { refuse } from './validate-refuse.ts';

/** The payload must be smaller than this (SwarmKit's limits: 500 KiB and 1000 KiB). */
const SECRET_BYTES_MAX = 500 * 1024;
const CONFIG_BYTES_MAX = 1000 * 1024;

const SECRET_NAME = /^[a-zA-Z0-9]+(?:[a-zA-Z0-9-_.]*[a-zA-Z0-9])?$/;
const SECRET_NAME_MAX = 64;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
/** Dots are allowed: stack files name networks after domains. */
const NETWORK_NAME = /^[a-zA-Z0-9](?:[-_.]*[A-Za-z0-9]+)*$/;
const NETWORK_NAME_MAX = 63;
/** Unique local and global addresses (RFC 4291, RFC 4193). */
const IPV6_USABLE: readonly IpBlock[] = [
  { family: 6, first: 0xfcn << 120n, bits: 7 },
  { family: 6, first: 0x20n << 120n, bits: 3 },
];

/** Throws `ClusterError` ('invalid') unless the secret has a name and between 1 and 512000 bytes less one. */
export function validateSecretSpec(spec: SecretSpec): void {
  validateSecretName(spec.Name);
  if (spec.Driver && !spec.Data) return;
  validatePayload('secret', spec.Data ?? '', SECRET_BYTES_MAX);
}

/** Throws `ClusterError` ('invalid') unless the config has a name and a payload within the limit. */
export function validateConfigSpec(spec: ConfigSpec): void {
  validateSecretName(spec.Name);
  validatePayload('config', spec.Data ?? '', CONFIG_BYTES_MAX);
}

function validateSecretName(name: string | undefined): void {
  if (!name) refuse('name must be provided');
  if (name.length > SECRET_NAME_MAX || !SECRET_NAME.test(name)) {
    refuse(
      'invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be [a-zA-Z0-9]',
    );
  }
}

function validatePayload(kind: 'secret' | 'config', data: string, bytesMax: number): void {
  if (!BASE64.test(data)) refuse(`${kind} data is not valid base64`);
  const padding = data.endsWith('==') ? 2 : Number(data.endsWith('='));
  const bytes = (data.length / 4) * 3 - padding;
  if (bytes < 1 || bytes >= bytesMax) {
    refuse(`${kind} data must be larger than 0 and less than ${bytesMax} bytes`);
  }
}

/** Throws `ClusterError` ('invalid') for a cluster network whose name, driver or addresses cannot be used. */
export function validateNetworkSpec(spec: NetworkSpec): void {
  if (!spec.Name) refuse('meta: name must be provided');
  if (!NETWORK_NAME.test(spec.Name)) refuse('name must be valid as a DNS name component');
  if (spec.Name.length > NETWORK_NAME_MAX) refuse('name must be 63 characters or fewer');
  refuseUnsupportedNetwork(spec);
  const driver = spec.Driver || 'overlay';
  if (driver !== 'overlay') refuse(`network driver ${driver} cannot be used for a cluster network`);
  if (spec.Ingress && spec.Attachable) {
    refuse('NetworkSpec: Ingress network cannot be an attachable network');
  }
  if (spec.Ingress && spec.Internal) {
    refuse('NetworkSpec: Ingress network cannot be an internal network');
  }
  if (spec.Name === INGRESS_NETWORK_NAME && !spec.Ingress) {
    refuse('the name "ingress" is kept for the routing mesh network');
  }
  for (const config of spec.IPAM?.Config ?? []) {
    validateIpamConfig(config);
  }
}

/** One entry of `IPAM.Config`, of a cluster network or a bridge. @throws ClusterError `invalid` */
export function validateIpamConfig(config: IpamConfig): void {
  const { Subnet: subnet, IPRange: range, Gateway: gateway, AuxiliaryAddresses } = config;
  const others = Object.entries(AuxiliaryAddresses ?? {});
  if (!subnet) {
    if (range || gateway || others.length > 0) refuse('IPAMConfig: subnet must be given');
    return;
  }
  const block = usableBlock(subnet);
  if (!block) refuse(`IPAMConfig: invalid subnet ${subnet}`);
  if (block.family === 6 && !IPV6_USABLE.some((usable) => ipBlocksOverlap(usable, block))) {
    refuse(`IPAMConfig: subnet ${subnet} is neither unique local (fc00::/7) nor global (2000::/3)`);
  }
  if (range) validateRange(block, range);
  if (gateway) validateInSubnet(block, 'gateway', gateway);
  for (const [name, address] of others) validateInSubnet(block, `auxiliary ${name}`, address);
}

function validateRange(block: IpBlock, range: string): void {
  const part = usableBlock(range);
  if (!part) refuse(`IPAMConfig: invalid range ${range}`);
  const inside = part.bits >= block.bits && ipBlocksOverlap(part, block);
  if (!inside) refuse(`IPAMConfig: range ${range} is not in subnet ${formatIpBlock(block)}`);
}

function validateInSubnet(block: IpBlock, what: string, text: string): void {
  const address = text.includes('/') ? undefined : parseIpAddress(text);
  if (!address) refuse(`IPAMConfig: invalid ${what} address ${text}`);
  if (!isInIpBlock(address, block)) {
    refuse(`IPAMConfig: ${what} ${text} is not in subnet ${formatIpBlock(block)}`);
  }
}

/**
 * Refuses a subnet that another cluster network has or waits for: nothing could be allocated, and services would wait for
 * ever without a word. @throws ClusterError in Docker's words
 */
export function refuseOverlap(networks: Iterable<Network>, spec: NetworkSpec): void {
  const others = [...networks].flatMap(({ spec: other, subnets, removing }) => {
    // Its subnet is free in a moment, and is waited for.
    if (removing) return [];
    const asked = (other.IPAM?.Config ?? []).flatMap(({ Subnet }) => Subnet || []);
    const given = subnets.map(({ subnet }) => subnet);
    return (given.length > 0 ? given : asked).map((subnet) => ({ subnet, name: other.Name }));
  });
  for (const { Subnet: subnet } of spec.IPAM?.Config ?? []) {
    if (!subnet) continue;
    const found = others.find((one) => overlap(one.subnet, subnet));
    if (found) {
      const text = `Pool overlaps with other one on this address space: ${subnet} with ${found.subnet} of network ${found.name}`;
      throw new ClusterError('forbidden', text);
    }
    others.push({ subnet, name: spec.Name });
  }
}

function overlap(left: string, right: string): boolean {
  const [one, other] = [parseIpBlock(left), parseIpBlock(right)];
  return one !== undefined && other !== undefined && ipBlocksOverlap(one, other);
}

function usableBlock(text: string): IpBlock | undefined {
  const block = parseIpBlock(text);
  return block && block.bits >= 1 ? block : undefined;
}
