import { ClusterError } from './error.ts';
import { compareText } from './id.ts';
import { isEncrypted, type NetworkSpec } from './network.ts';
import { refuse } from './validate-refuse.ts';
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
/** RFC 8200 section 5: IPv6 has none of links that carry less. */
const IPV6_MTU_MIN = 1280;

/**
 * Refuses what a cluster network may ask for in Docker's words and would not get here: better no network than one
 * that is not what was asked for.
 * @throws ClusterError `not-implemented` (501) with the reason
 */
export function refuseUnsupportedNetwork(spec: NetworkSpec): void {
  const options = spec.Options ?? {};
  refuseFamilies(spec);
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
  const mtu = options['com.docker.network.driver.mtu'];
  if (spec.EnableIPv6 && mtu !== undefined && Number(mtu) < IPV6_MTU_MIN) {
    refuse(`an MTU of ${mtu} is too small: IPv6 needs ${IPV6_MTU_MIN} at least`);
  }
}

function refuseFamilies(spec: NetworkSpec): void {
  if (spec.EnableIPv4 === false) {
    unsupported('networks without IPv4 are', 'IPv6 addresses are given beside IPv4 ones');
  }
  if (spec.EnableIPv6) return;
  const subnets = (spec.IPAM?.Config ?? []).map(({ Subnet }) => Subnet ?? '');
  const ipv6 = subnets.find((subnet) => subnet.includes(':'));
  if (ipv6) refuse(`subnet ${ipv6} is of IPv6, which the network is not made for: say --ipv6 too`);
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

/**
 * A network that gives IPv6 addresses, and nodes whose kernel has none.
 * @throws ClusterError `not-implemented` (501) that names them
 */
export function checkIpv6(view: View, spec: NetworkSpec): void {
  if (!spec.EnableIPv6) return;
  const unable = [...view.list('node')]
    .filter(({ description }) => description?.lacksIpv6 === true)
    .map(({ id, description }) => description?.hostname || id)
    .toSorted(compareText);
  if (unable.length === 0) return;
  unsupported(
    `IPv6 network ${spec.Name} is`,
    `the kernel of ${unable.join(', ')} was started without IPv6`,
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
