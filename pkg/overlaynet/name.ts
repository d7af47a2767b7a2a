import { createHash } from 'node:crypto';
import type { Family } from './family.ts';

/** Links that we make in the host's namespace start so; nothing else is ever deleted there. */
export const HOST_LINK_PREFIX = 'mu-';
/** Links of containers within an overlay's namespace. */
export const HUB_LINK_PREFIX = 'v-';
export const BRIDGE = 'br0';
export const TUNNEL = 'vx0';
export const GATEWAY_BRIDGE = `${HOST_LINK_PREFIX}gw0`;
/** The host's foot in the ingress network, in both namespaces. */
export const INGRESS_LINK = `${HOST_LINK_PREFIX}ingress`;
export const INGRESS_HUB_LINK = `${HUB_LINK_PREFIX}ingress`;
/** All nf_tables tables of ours start so. */
export const TABLE_PREFIX = 'muster-';

const LINK_NAME_MAX = 15;

/** A link name of at most 15 bytes that depends on nothing but its parts. */
export function linkName(prefix: string, ...parts: readonly string[]): string {
  const hash = createHash('sha256').update(parts.join('\0')).digest('hex');
  return (prefix + hash).slice(0, LINK_NAME_MAX);
}

const NETWORK_TABLE_PREFIX = `${TABLE_PREFIX}net-`;
/** The entry side of the routing mesh. */
export const INGRESS_TABLE = `${TABLE_PREFIX}ingress`;

export function tableName(networkId: string): string {
  return `${NETWORK_TABLE_PREFIX}${networkId}`;
}

/** Tables of IPv6 are named `ip6 NAME`. */
export function isOurTable(table: string, prefix = TABLE_PREFIX): boolean {
  return table.replace(/^ip6 /, '').startsWith(prefix);
}

/** Where a namespace's connections were led, see `Destinations`. Other rules need another name: it is adopted as it is. */
export const DESTINATIONS_TABLE = `${TABLE_PREFIX}destinations`;

/** Whether its rules send connections of the family to backends of services. */
export function leadsToBackends(table: string, { tableOf }: Family): boolean {
  return table === tableOf(INGRESS_TABLE) || table.startsWith(tableOf(NETWORK_TABLE_PREFIX));
}

/** There while flows leave their backend, see `SetAside`. */
export const LEAVING_TABLE = `${TABLE_PREFIX}leaving`;

export function isLeavingTable(table: string): boolean {
  return isOurTable(table, LEAVING_TABLE);
}

/** Begins the names of tables that say who may open connections to a container. */
const POLICY_TABLE_PREFIX = `${TABLE_PREFIX}allow-`;

export function isPolicyTable(table: string): boolean {
  return isOurTable(table, POLICY_TABLE_PREFIX);
}

export function policyTableName(networkId: string): string {
  return `${POLICY_TABLE_PREFIX}${networkId}`;
}
