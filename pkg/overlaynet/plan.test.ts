import { expect, test } from 'vitest';
import { FakeKernel } from './kernel/fake.ts';
import type { ObservedNamespace } from './kernel/kernel.ts';
import { type DesiredNamespace, planNamespace } from './plan.ts';

const kernel = new FakeKernel();
const NOTHING: DesiredNamespace = {
  links: [],
  addresses: [],
  routes: [],
  rules: [],
  neighbours: [],
  fdb: [],
  prune: true,
};
const EMPTY: ObservedNamespace = {
  links: [],
  addresses: [],
  routes: [],
  rules: [],
  neighbours: [],
  fdb: [],
};
const link = (name: string, more: object = {}): ObservedNamespace['links'][number] => ({
  name,
  kind: 'bridge',
  up: true,
  mtu: 1500,
  mac: '',
  master: '',
  ...more,
});

test('links of others are never deleted, ours are', () => {
  const observed = { ...EMPTY, links: [link('eth0'), link('mu-old')] };
  expect(planNamespace({ ...NOTHING, ownedLinkPrefix: 'mu-' }, observed)).toEqual([
    { do: 'delete-link', name: 'mu-old' },
  ]);
  expect(planNamespace({ ...NOTHING, ownedLinkPrefix: 'mu-', prune: false }, observed)).toEqual([]);
  expect(planNamespace(NOTHING, observed)).toEqual([]);
});

test('a link that is down or in no bridge is put right with one operation and its port settings', () => {
  const observed = { ...EMPTY, links: [link('br0'), link('v-1', { kind: 'veth', up: false })] };
  const peer = { name: 'eth0', namespace: kernel.open() };
  const links = [
    { kind: 'bridge', name: 'br0' },
    { kind: 'veth', name: 'v-1', master: 'br0', peer },
  ] as const;
  expect(planNamespace({ ...NOTHING, links }, observed)).toEqual([
    { do: 'change-link', name: 'v-1', up: true, master: 'br0', mtu: undefined, mac: undefined },
    { do: 'change-port', name: 'v-1', learning: true, isolated: false, hairpin: false },
  ]);
});

test('what hung on a link that is made anew is added again', () => {
  const address = { link: 'x', address: '10.0.0.1/24' };
  const observed = { ...EMPTY, links: [link('x', { kind: 'dummy' })], addresses: [address] };
  const desired = {
    ...NOTHING,
    links: [{ kind: 'bridge', name: 'x' } as const],
    addresses: [address],
  };
  expect(planNamespace(desired, observed).map((operation) => operation.do)).toEqual([
    'delete-link',
    'add-link',
    'change-link',
    'add-address',
  ]);
});

test('removals come before additions: a MAC moves from one tunnel to another', () => {
  const mac = '02:42:0a:00:00:05';
  const vxlan = { vni: 1, local: '192.0.2.1', port: 4789 };
  const observed = {
    ...EMPTY,
    links: [link('vx0', { kind: 'vxlan', vxlan })],
    fdb: [{ link: 'vx0', mac, tunnel: '192.0.2.2' }],
  };
  const tunnel = { kind: 'vxlan', name: 'vx0', ...vxlan, underlay: kernel.open() } as const;
  const fdb = [{ link: 'vx0', mac, tunnel: '192.0.2.3' }];
  expect(planNamespace({ ...NOTHING, links: [tunnel], fdb }, observed)).toEqual([
    { do: 'delete-fdb', entry: { link: 'vx0', mac, tunnel: '192.0.2.2' } },
    { do: 'put-fdb', entry: fdb[0] },
  ]);
});

test("a container's own routes and addresses stay", () => {
  const observed = {
    ...EMPTY,
    links: [link('eth0', { kind: 'veth' })],
    addresses: [{ link: 'eth0', address: '10.9.9.9/32' }],
    routes: [{ destination: '10.8.0.0/16', link: 'eth0', table: 254, onLink: false }],
  };
  const desired = { ...NOTHING, links: [{ kind: 'present', name: 'eth0' } as const] };
  expect(planNamespace(desired, observed)).toEqual([]);
});
