import { ClusterError } from './error.ts';
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
const SUBNET = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/;
const ADDRESS = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;

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
  if (subnet) {
    if (prefixOf(subnet) === undefined) refuse(`IPAMConfig: invalid subnet ${subnet}`);
  } else if (range || gateway || others.length > 0) refuse('IPAMConfig: subnet must be given');
  if (!subnet) return;
  if (range && prefixOf(range) === undefined) refuse(`IPAMConfig: invalid range ${range}`);
  if (range && !contains(subnet, range)) {
    refuse(`IPAMConfig: range ${range} is not in subnet ${subnet}`);
  }
  if (gateway) validateInSubnet(subnet, 'gateway', gateway);
  for (const [name, address] of others) validateInSubnet(subnet, `auxiliary ${name}`, address);
}

function validateInSubnet(subnet: string, what: string, address: string): void {
  if (!isAddress(address)) refuse(`IPAMConfig: invalid ${what} address ${address}`);
  if (!contains(subnet, `${address}/32`)) {
    refuse(`IPAMConfig: ${what} ${address} is not in subnet ${subnet}`);
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
    const found = others.find(
      (one) => contains(one.subnet, subnet) || contains(subnet, one.subnet),
    );
    if (found) {
      const text = `Pool overlaps with other one on this address space: ${subnet} with ${found.subnet} of network ${found.name}`;
      throw new ClusterError('forbidden', text);
    }
    others.push({ subnet, name: spec.Name });
  }
}

/** Room for a gateway and two addresses at least. */
function prefixOf(block: string): number | undefined {
  const parts = SUBNET.exec(block);
  if (!parts || !bytesFit(parts.slice(1, 5))) return undefined;
  const prefix = Number(parts[5]);
  return prefix >= 1 && prefix <= 32 ? prefix : undefined;
}

function isAddress(text: string): boolean {
  const parts = ADDRESS.exec(text);
  return parts !== null && bytesFit(parts.slice(1));
}

function bytesFit(parts: readonly string[]): boolean {
  return parts.every((part) => Number(part) <= 255);
}

function contains(outer: string, inner: string): boolean {
  const bits = prefixOf(outer) ?? 32;
  const size = 2 ** (32 - bits);
  const network = (block: string): number =>
    Math.floor(numberOf(block.split('/', 1)[0] ?? '') / size);
  return (prefixOf(inner) ?? 0) >= bits && network(outer) === network(inner);
}

function numberOf(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}
