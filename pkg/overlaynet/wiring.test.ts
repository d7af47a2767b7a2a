import { expect, test } from 'vitest';
import { contains, overlaps, pickAddress, pickSubnet } from './address-pool.ts';
import { macOf } from './expression.ts';
import type { LocalNetwork, SandboxSpec } from './network.ts';
import {
  chooseAttachments,
  chooseHostPorts,
  defaultGatewaysOf,
  gatewayOf,
  publishedPortsOf,
  type WiringContext,
} from './wiring.ts';

const local = (networkId: string, subnet: string, internal = false): LocalNetwork => ({
  networkId,
  name: networkId,
  subnet,
  gateway: gatewayOf(subnet),
  bridge: networkId,
  internal,
  mtu: 1500,
});
const context: WiringContext = {
  overlays: new Map([
    ['app', { internal: false, hasIpv6: false }],
    ['back', { internal: true, hasIpv6: false }],
    ['dual', { internal: false, hasIpv6: true }],
  ]),
  localNetworks: new Map([
    ['blue', local('blue', '172.19.0.0/30')],
    ['shut', local('shut', '172.20.0.0/24', true)],
  ]),
  gatewaySubnet: '172.18.0.0/16',
  gatewaySubnet6: 'fd00:18::/64',
  attachments: [],
  hostPorts: [],
};
const spec = (more: Partial<SandboxSpec>): SandboxSpec => ({
  containerId: 'c',
  netns: '/proc/1/ns/net',
  name: 'c',
  hostname: 'c',
  overlays: [],
  ...more,
});
const links = (given: SandboxSpec): readonly string[] =>
  chooseAttachments(given, context).map(({ link, kind, address }) => `${link} ${kind} ${address}`);

test('a container with a way out of its own needs no gateway bridge', () => {
  const overlay = { networkId: 'app', address: '10.0.1.5/24' };
  expect(links(spec({ overlays: [overlay] }))).toEqual([
    'eth0 overlay 10.0.1.5/24',
    'eth1 gateway 172.18.0.2/16',
  ]);
  expect(links(spec({ overlays: [overlay], localNetworks: [{ networkId: 'blue' }] }))).toEqual([
    'eth0 overlay 10.0.1.5/24',
    'eth1 local 172.19.0.2/30',
  ]);
  const back = { networkId: 'back', address: '10.0.2.5/24' };
  expect(links(spec({ overlays: [back], localNetworks: [{ networkId: 'shut' }] }))).toHaveLength(2);
});

test('default routes', () => {
  const gateway = (given: SandboxSpec): string =>
    defaultGatewaysOf(chooseAttachments(given, context), context).join(' ');
  expect(gateway(spec({ overlays: [{ networkId: 'app', address: '10.0.1.5/24' }] }))).toBe(
    '172.18.0.1',
  );
  expect(gateway(spec({ localNetworks: [{ networkId: 'shut' }, { networkId: 'blue' }] }))).toBe(
    '172.19.0.1',
  );
  expect(gateway(spec({ localNetworks: [{ networkId: 'shut' }] }))).toBe('');
});

test('the gateway bridge has IPv6 for who has it on an overlay, and for who publishes ports there', () => {
  const legOf = (given: SandboxSpec, host = context): unknown =>
    chooseAttachments(given, host).find(({ kind }) => kind === 'gateway')?.address6;
  const app = { networkId: 'app', address: '10.0.1.5/24' };
  const dual = { networkId: 'dual', address: '10.0.3.5/24', address6: 'fd00:3::5/64' };
  expect(legOf(spec({ overlays: [app] }))).toBeUndefined();
  expect(legOf(spec({ overlays: [dual] }))).toBe('fd00:18::2/64');
  const hostPorts = [{ protocol: 'tcp', targetPort: 80, publishedPort: 8080 }] as const;
  const publishing = spec({ overlays: [app], hostPorts });
  expect(legOf(publishing)).toBe('fd00:18::2/64');
  expect(legOf(publishing, { ...context, gatewaySubnet6: undefined })).toBeUndefined();
  const attachments = chooseAttachments(publishing, context);
  const gateways = defaultGatewaysOf(attachments, context);
  expect(gateways).toEqual(['172.18.0.1', 'fd00:18::1']);
  const ports = publishedPortsOf({ spec: publishing, attachments, hostPorts }, gateways);
  expect(ports.map(({ targetAddress }) => targetAddress)).toEqual(['172.18.0.2', 'fd00:18::2']);
});

test('on a host that does not use IPv6 a container has none, whatever the cluster gave it', () => {
  const network = { networkId: 'app', address: '10.0.3.5/24', address6: 'fd00:3::5/64' };
  const [attachment] = chooseAttachments(spec({ overlays: [network] }), context);
  expect(attachment).not.toHaveProperty('address6');
});

test('full networks, taken and foreign addresses are refused', () => {
  const used = chooseAttachments(spec({ localNetworks: [{ networkId: 'blue' }] }), context);
  const full = { ...context, attachments: used };
  const blue = spec({ localNetworks: [{ networkId: 'blue' }] });
  expect(() => chooseAttachments(blue, full)).toThrow('network blue has no address left');
  const wish = (address: string): SandboxSpec =>
    spec({ localNetworks: [{ networkId: 'blue', address }] });
  expect(() => chooseAttachments(wish('172.19.0.2'), full)).toThrow('already in use');
  expect(() => chooseAttachments(wish('172.30.0.2'), context)).toThrow('not in subnet');
  expect(() =>
    chooseAttachments(spec({ localNetworks: [{ networkId: 'none' }] }), context),
  ).toThrow('network none not found');
});

test('host ports clash by protocol, number and address', () => {
  const port = { protocol: 'tcp', targetPort: 80, publishedPort: 80 } as const;
  const taken = [{ ...port, hostIp: '127.0.0.1' }];
  expect(() => chooseHostPorts([port], taken, [])).toThrow('Bind for 0.0.0.0:80 failed');
  expect(chooseHostPorts([{ ...port, protocol: 'udp' }], taken, [])).toHaveLength(1);
  expect(chooseHostPorts([{ ...port, hostIp: '192.0.2.1' }], taken, [])).toHaveLength(1);
  const leg = {
    kind: 'gateway',
    networkId: '',
    link: 'eth1',
    hostLink: 'mu-1',
    aliases: [],
  } as const;
  const dual = [{ ...leg, address: '172.18.0.2/16', address6: 'fd00:18::2/64' }];
  const on6 = { ...port, hostIp: '2001:db8::1' };
  expect(chooseHostPorts([on6], [{ ...port, hostIp: '0.0.0.0' }], dual)).toHaveLength(1);
  expect(() => chooseHostPorts([on6], [{ ...port, hostIp: '::' }], dual)).toThrow('Bind for 2001');
  expect(() => chooseHostPorts([on6], [], [])).toThrow(
    "publishing port 80/tcp on 2001:db8::1 is not supported by this version: none of the container's networks that lead out has IPv6",
  );
  const any = { ...port, publishedPort: 0 };
  expect(chooseHostPorts([any, any], [], []).map(({ publishedPort }) => publishedPort)).toEqual([
    32768, 32769,
  ]);
});

test('subnets and addresses', () => {
  expect(overlaps('10.0.0.0/8', '10.1.0.0/16')).toBe(true);
  expect(overlaps('10.0.0.0/24', '10.0.1.0/24')).toBe(false);
  expect(contains('10.0.0.0/24', '10.0.0.255')).toBe(true);
  expect(contains('0.0.0.0/0', '255.255.255.255')).toBe(true);
  expect(pickSubnet(['172.19.0.0/16'])).toBe('172.20.0.0/16');
  expect(pickAddress('10.0.0.0/30', new Set(['10.0.0.1', '10.0.0.2']))).toBeUndefined();
  expect(macOf('10.0.1.255')).toBe('02:42:0a:00:01:ff');
  expect(contains('10.0.0.0/24', 'fd00::1')).toBe(false);
  expect(contains('fd00::/64', 'fd00::ffff:0:0:1')).toBe(true);
  expect(pickAddress('fd00:1::/64', new Set(['fd00:1::1']))).toBe('fd00:1::2');
});
