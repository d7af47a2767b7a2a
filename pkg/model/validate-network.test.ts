import { expect, test } from 'vitest';
import { ClusterError } from './error.ts';
import type { IpamConfig, NetworkSpec } from './network.ts';
import type { Node } from './node.ts';
import { checkEncryption, checkIpv6 } from './validate-network.ts';
import { validateNetworkSpec } from './validate-object.ts';
import type { View } from './view.ts';

function refusal(spec: Partial<NetworkSpec>): string {
  try {
    validateNetworkSpec({ Name: 'n', Driver: 'overlay', ...spec });
    return 'accepted';
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    return `${error.status} ${error.message}`;
  }
}

function ipv6(Subnet: string, config: Partial<IpamConfig> = {}): Partial<NetworkSpec> {
  return { EnableIPv6: true, IPAM: { Config: [{ Subnet, ...config }] } };
}

test.each<[string, Partial<NetworkSpec>, RegExp]>([
  [
    'an IPv6 subnet and no IPv6',
    { IPAM: { Config: [{ Subnet: 'fd00::/64' }] } },
    /^400 .*subnet fd00::\/64 is of IPv6, which the network is not made for: say --ipv6 too/,
  ],
  ['link-local addresses', ipv6('fe80::/64'), /^400 .*fe80::\/64 is neither unique local/],
  ['multicast addresses', ipv6('ff02::/64'), /^400 .*ff02::\/64 is neither unique local/],
  ['an IPv6 subnet that is none', ipv6('fd00::/129'), /^400 .*invalid subnet fd00::\/129/],
  [
    'a gateway of another family',
    ipv6('fd00:5::/64', { Gateway: '10.0.0.1' }),
    /^400 .*gateway 10.0.0.1 is not in subnet fd00:5::\/64/,
  ],
  [
    'a range of another subnet',
    ipv6('fd00:5::/64', { IPRange: 'fd00:6::/80' }),
    /^400 .*range fd00:6::\/80 is not in subnet fd00:5::\/64/,
  ],
  [
    'an MTU that IPv6 does not live with',
    { EnableIPv6: true, Options: { 'com.docker.network.driver.mtu': '1279' } },
    /^400 .*an MTU of 1279 is too small: IPv6 needs 1280 at least/,
  ],
  ['no IPv4', { EnableIPv4: false }, /^501 networks without IPv4/],
  ['macvlan', { Driver: 'macvlan' }, /^501 network driver macvlan is not supported/],
  ['ipvlan', { Driver: 'ipvlan' }, /^501 network driver ipvlan is not supported/],
  ['an unknown driver', { Driver: 'weave' }, /^400 .*weave/],
  ['an IPAM plugin', { IPAM: { Driver: 'dhcp' } }, /^501 IPAM driver dhcp/],
  ['config-only', { ConfigOnly: true }, /^501 config-only/],
  ['config-from', { ConfigFrom: { Network: 'x' } }, /^501 config-only/],
  [
    'an identifier of its own',
    { Options: { 'com.docker.network.driver.overlay.vxlanid_list': '7' } },
    /^501 network option com.docker.network.driver.overlay.vxlanid_list is not supported/,
  ],
  ['a bad MTU', { Options: { 'com.docker.network.driver.mtu': 'big' } }, /^400 invalid value/],
])('a cluster network with %s is refused with the reason', (_what, spec, text) => {
  expect(refusal(spec)).toMatch(text);
});

test('what an overlay does follow is accepted, and so are explicit defaults', () => {
  expect(refusal({ Options: { 'com.docker.network.driver.mtu': '1400' } })).toBe('accepted');
  expect(refusal({ Options: { encrypted: 'false' } })).toBe('accepted');
  expect(refusal({ Options: { encrypted: '' } })).toBe('accepted');
  expect(refusal({ EnableIPv6: true })).toBe('accepted');
  const gateway = { Gateway: 'fd00:5::9', IPRange: 'fd00:5:0:0:1::/80' };
  expect(refusal(ipv6('fd00:5::/64', gateway))).toBe('accepted');
  expect(
    refusal({
      EnableIPv4: true,
      EnableIPv6: false,
      ConfigOnly: false,
      ConfigFrom: { Network: '' },
      IPAM: { Driver: 'default', Config: [] },
      Options: {},
    }),
  ).toBe('accepted');
});

test('an encrypted network is refused as long as a node cannot encrypt, and names it', () => {
  const node = (hostname: string, canEncrypt: boolean | undefined): Node =>
    ({ id: hostname, description: { hostname, canEncrypt } }) as Node;
  const view = (...nodes: readonly Node[]): View =>
    ({ list: () => nodes }) as Pick<View, 'list'> as View;
  const encrypted = { Name: 'n', Options: { encrypted: '' } };
  checkEncryption(view(node('a', true)), encrypted);
  checkEncryption(view(node('a', false)), { Name: 'n' });
  expect(() =>
    checkEncryption(view(node('b', false), node('a', undefined), node('c', true)), encrypted),
  ).toThrow(
    /encrypted overlay network n is not supported by this version: the kernel of a, b cannot encrypt/,
  );
});

test('an IPv6 network is refused as long as the kernel of a node has no IPv6, and names it', () => {
  const node = (hostname: string, lacksIpv6?: boolean): Node =>
    ({ id: hostname, description: { hostname, lacksIpv6 } }) as Node;
  const view = (...nodes: readonly Node[]): View =>
    ({ list: () => nodes }) as Pick<View, 'list'> as View;
  const spec = { Name: 'n', EnableIPv6: true };
  checkIpv6(view(node('a')), spec);
  checkIpv6(view(node('a', true)), { Name: 'n' });
  expect(() => checkIpv6(view(node('b', true), node('c'), node('a', true)), spec)).toThrow(
    /IPv6 network n is not supported by this version: the kernel of a, b was started without IPv6/,
  );
});
