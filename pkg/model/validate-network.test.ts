import { expect, test } from 'vitest';
import { ClusterError } from './error.ts';
import type { NetworkSpec } from './network.ts';
import type { Node } from './node.ts';
import { checkEncryption } from './validate-network.ts';
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

test.each<[string, Partial<NetworkSpec>, RegExp]>([
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
  expect(refusal({ Options: { encrypted: '' } })).toBe('accepted');
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
