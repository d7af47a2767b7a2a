import { ClusterError } from './error.ts';
import { compareText } from './id.ts';
import { isEncrypted, type NetworkSpec } from './network.ts';
import type { View } from './view.ts';

/** Driver options that an overlay network follows. */
const OPTIONS_KNOWN = new Set(['com.docker.network.driver.mtu', 'encrypted']);
/** Drivers of Docker that this version has nothing for. */
const DRIVERS_MISSING: ReadonlyMap<string, string> = new Map([
  ['ipvlan', 'containers are only put on bridge, macvlan and overlay networks'],
]);
/** RFC 791: every link carries 68 bytes; an IPv4 packet has at most 65535. */
const MTU_MIN = 68;
const MTU_MAX = 65_535;

/**
 * Refuses what a cluster network may ask for in Docker's words and would not get here: better no network than one
 * that is not what was asked for.
 * @throws ClusterError `not-implemented` (501) with the reason
 */
export function refuseUnsupportedNetwork(spec: NetworkSpec): void {
  const options = spec.Options ?? {};
  const subnets = (spec.IPAM?.Config ?? []).map(({ Subnet }) => Subnet ?? '');
  if (spec.EnableIPv6 || subnets.some((subnet) => subnet.includes(':')))
    unsupported('IPv6 networks are', 'only IPv4 addresses are given to tasks');
  if (spec.EnableIPv4 === false) {
    unsupported('networks without IPv4 are', 'only IPv4 addresses are given to tasks');
  }
  if (spec.Driver === 'macvlan') {
    unsupported(
      'network driver macvlan is',
      'a cluster network is an overlay; make a macvlan network on each host for its own containers',
    );
  }
  refuseDriver(spec.Driver);
  if (spec.IPAM?.Driver && spec.IPAM.Driver !== 'default') {
    unsupported(`IPAM driver ${spec.IPAM.Driver} is`, 'addresses come from the built-in allocator');
  }
  if (spec.ConfigOnly || spec.ConfigFrom?.Network) {
    unsupported('config-only networks are', 'every network carries its own configuration');
  }
  for (const [name, value] of Object.entries(options)) refuseOption(name, value);
}

/**
 * A network whose traffic is to be encrypted, and nodes whose kernel cannot do it.
 * @throws ClusterError `not-implemented` (501) that names them
 */
export function checkEncryption(view: View, spec: NetworkSpec): void {
  if (!isEncrypted(spec)) return;
  const unable = [...view.list('node')]
    .filter(({ description }) => description !== undefined && description.canEncrypt !== true)
    .map(({ id, description }) => description?.hostname || id)
    .toSorted(compareText);
  if (unable.length === 0) return;
  unsupported(
    `encrypted overlay network ${spec.Name} is`,
    `the kernel of ${unable.join(', ')} cannot encrypt (it needs ESP with AES-GCM: modules esp4 and gcm)`,
  );
}

/** `ipvlan` and its like. @throws ClusterError `not-implemented` (501) */
export function refuseDriver(driver: string | null | undefined): void {
  const reason = DRIVERS_MISSING.get(driver ?? '');
  if (reason !== undefined) unsupported(`network driver ${driver} is`, reason);
}

/** @throws ClusterError `not-implemented` (501). `what` ends with its verb. */
export function unsupported(what: string, reason: string): never {
  throw new ClusterError('not-implemented', `${what} not supported by this version: ${reason}`);
}

function refuseOption(name: string, value: string): void {
  if (!OPTIONS_KNOWN.has(name)) {
    unsupported(`network option ${name} is`, 'an overlay network would not follow it');
  }
  if (name === 'encrypted') return;
  const mtu = Number(value);
  if (!Number.isInteger(mtu) || mtu < MTU_MIN || mtu > MTU_MAX) {
    throw new ClusterError('invalid', `invalid value for option ${name}: ${value}`);
  }
}
