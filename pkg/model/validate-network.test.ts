import { expect, test } from 'vitest';
import { ClusterError } from './error.ts';
import type { NetworkSpec } from './network.ts';
import { validateNetworkSpec } from './validate-object.ts';

function refusal(spec: Partial<NetworkSpec>): string {
  try {
    validateNetworkSpec({ Name: 'n', Driver: 'overlay', ...spec });
    return 'accepted';
  } catch (error) {
    if (!(error instanceof ClusterError)) throw error;
    return `${error.status} ${error.message}`;
  }
}

test.each<[string, Partial<NetworkSpec>, RegExp]>([
  ['encryption', { Options: { encrypted: '' } }, /^501 encrypted overlay networks are not supp/],
  ['IPv6', { EnableIPv6: true }, /^501 IPv6 networks are not supported/],
  ['an IPv6 subnet', { IPAM: { Config: [{ Subnet: 'fd00::/64' }] } }, /^501 IPv6/],
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
