import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createNamespace, NetworkNamespace, removeNamespace } from '../namespace.ts';
import { NetlinkSocket } from '../socket.ts';
import { deleteAddress, dumpAddresses, newAddress, parseAddress } from './address.ts';
import {
  changeBridgePort,
  changeLink,
  deleteLink,
  dumpLinks,
  getLink,
  newLink,
  parseLink,
} from './link.ts';
import {
  deleteFdbEntry,
  deleteNeighbour,
  dumpFdb,
  dumpNeighbours,
  parseFdbEntry,
  parseNeighbour,
  putFdbEntry,
  putNeighbour,
} from './neighbour.ts';
import { deleteRoute, dumpRoutes, newRoute, parseRoute, TABLE_LOCAL } from './route.ts';
import { deleteRule, dumpRules, newRule, parseRule } from './rule.ts';

let folder: string;
let socket: NetlinkSocket;
const pin = (name: string): string => join(folder, name);
const textInside = (name: string, command: string, ...words: readonly string[]): string =>
  execFileSync('nsenter', [`--net=${pin(name)}`, command, ...words], { encoding: 'utf8' });
const inside = (name: string, command: string, ...words: readonly string[]): unknown =>
  JSON.parse(textInside(name, command, ...words));
const indexOf = (name: string): number => {
  const [body = Buffer.alloc(16)] = socket.request(getLink(name));
  return parseLink(body).index;
};

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'netlink-'));
  createNamespace(pin('a'));
  createNamespace(pin('b'));
  using namespace = NetworkNamespace.open(pin('a'));
  socket = namespace.run(() => NetlinkSocket.open('route'));
});

afterEach(() => {
  socket[Symbol.dispose]();
  removeNamespace(pin('a'));
  removeNamespace(pin('b'));
  rmSync(folder, { recursive: true });
});

test('a veth pair whose peer is born in another namespace', () => {
  using other = NetworkNamespace.open(pin('b'));
  socket.request(
    newLink({
      kind: 'veth',
      name: 'left',
      mtu: 1450,
      peer: { name: 'eth0', mac: '02:42:0a:00:00:02', mtu: 1450, namespaceFd: other.fd },
    }),
  );
  socket.request(changeLink(indexOf('left'), { up: true }));
  expect(inside('b', 'ip', '-j', '-d', 'link', 'show', 'eth0')).toMatchObject([
    { ifname: 'eth0', address: '02:42:0a:00:00:02', mtu: 1450, linkinfo: { info_kind: 'veth' } },
  ]);
  expect(inside('a', 'ip', '-j', 'link', 'show', 'left')).toMatchObject([
    { flags: expect.arrayContaining(['UP']) },
  ]);
});

test('a bridge with a VXLAN port: static entries only', () => {
  socket.request(newLink({ kind: 'bridge', name: 'br0' }));
  socket.request(
    newLink({ kind: 'vxlan', name: 'vx0', vni: 4097, local: '192.0.2.1', port: 4789, mtu: 1450 }),
  );
  const vxlan = indexOf('vx0');
  socket.request(changeLink(vxlan, { master: indexOf('br0'), up: true }));
  socket.request(changeBridgePort(vxlan, { learning: false, isolated: true, hairpin: true }));
  const mac = '02:42:0a:00:00:05';
  socket.batch([
    putFdbEntry({ link: vxlan, mac, tunnel: '192.0.2.9' }),
    putFdbEntry({ link: vxlan, mac }),
    putNeighbour({ link: vxlan, address: '10.0.0.5', mac }),
  ]);

  const [link] = inside('a', 'ip', '-j', '-d', 'link', 'show', 'vx0') as readonly unknown[];
  expect(link).toMatchObject({
    master: 'br0',
    linkinfo: {
      info_kind: 'vxlan',
      info_data: { id: 4097, local: '192.0.2.1', port: 4789, learning: false, proxy: true },
      info_slave_data: { learning: false, isolated: true, hairpin: true },
    },
  });
  const fdb = inside('a', 'bridge', '-j', 'fdb', 'show', 'dev', 'vx0');
  expect(fdb).toContainEqual(
    expect.objectContaining({ mac, dst: '192.0.2.9', state: 'permanent' }),
  );
  expect(fdb).toContainEqual(expect.objectContaining({ mac, master: 'br0', state: 'static' }));
  expect(inside('a', 'ip', '-j', 'neigh', 'show', 'dev', 'vx0')).toMatchObject([
    { dst: '10.0.0.5', lladdr: mac, state: ['PERMANENT'] },
  ]);

  const entries = socket
    .dump(dumpFdb())
    .map(parseFdbEntry)
    .filter((entry) => entry.mac === mac);
  expect(entries.map((entry) => [entry.tunnel, entry.fixed])).toEqual(
    expect.arrayContaining([
      ['192.0.2.9', true],
      [undefined, true],
    ]),
  );
  expect(socket.dump(dumpNeighbours()).map(parseNeighbour)).toContainEqual({
    link: vxlan,
    address: '10.0.0.5',
    mac,
    permanent: true,
  });
  expect(socket.dump(dumpLinks()).map(parseLink)).toContainEqual(
    expect.objectContaining({ name: 'vx0', vxlan: { vni: 4097, local: '192.0.2.1', port: 4789 } }),
  );
  socket.request(deleteFdbEntry({ link: vxlan, mac, tunnel: '192.0.2.9' }));
  expect(inside('a', 'bridge', '-j', 'fdb', 'show', 'dev', 'vx0')).not.toContainEqual(
    expect.objectContaining({ dst: '192.0.2.9' }),
  );
});

test('a VXLAN link between IPv6 hosts', () => {
  const wanted = { vni: 4097, local: 'fd00:0:0::1', port: 4789 };
  socket.request(newLink({ kind: 'vxlan', name: 'vx0', ...wanted, mtu: 1430 }));
  const link = indexOf('vx0');
  socket.request(changeLink(link, { up: true }));
  const mac = '02:42:0a:00:00:05';
  const entry = { link, mac, tunnel: 'fd00::9' };
  socket.request(putFdbEntry(entry));

  expect(inside('a', 'ip', '-j', '-d', 'link', 'show', 'vx0')).toMatchObject([
    {
      linkinfo: {
        info_kind: 'vxlan',
        info_data: { id: 4097, local6: 'fd00::1', port: 4789, learning: false, proxy: true },
      },
    },
  ]);
  const sockets = textInside('a', 'ss', '-Hlnu');
  expect(sockets).toMatch(/ (\[::\]|\*):4789 /);
  expect(sockets).not.toContain('0.0.0.0:4789');
  expect(inside('a', 'bridge', '-j', 'fdb', 'show', 'dev', 'vx0')).toContainEqual(
    expect.objectContaining({ mac, dst: 'fd00::9', state: 'permanent' }),
  );
  expect(socket.dump(dumpLinks()).map(parseLink)).toContainEqual(
    expect.objectContaining({ name: 'vx0', vxlan: { ...wanted, local: 'fd00::1' } }),
  );
  expect(socket.dump(dumpFdb()).map(parseFdbEntry)).toContainEqual({ ...entry, fixed: true });
  // All ends of a tunnel are of one family.
  expect(() => socket.request(putFdbEntry({ ...entry, tunnel: '192.0.2.9' }))).toThrow(
    /EAFNOSUPPORT/,
  );
  socket.request(deleteFdbEntry(entry));
  expect(socket.dump(dumpFdb()).map(parseFdbEntry)).not.toContainEqual({ ...entry, fixed: true });
});

test('a mark rule spares others the rules that follow', () => {
  const later = { family: 'ipv4', mark: 7, mask: 0xff, table: 70000, priority: 101 } as const;
  const spare = { ...later, table: 0, priority: 99, others: { goOnAt: 101 } } as const;
  for (const rule of [spare, later]) socket.request(newRule(rule));
  expect(inside('a', 'ip', '-j', 'rule')).toContainEqual(
    expect.objectContaining({ priority: 99, not: null, fwmark: '0x7', fwmask: '0xff', goto: 101 }),
  );
  expect(socket.dump(dumpRules()).map(parseRule)).toEqual(expect.arrayContaining([spare, later]));
  socket.request(deleteRule(spare));
  expect(socket.dump(dumpRules()).map(parseRule)).not.toContainEqual(spare);
});

test('addresses, routes and mark rules', () => {
  socket.request(newLink({ kind: 'bridge', name: 'br0' }));
  const link = indexOf('br0');
  socket.request(changeLink(link, { up: true }));
  socket.request(newAddress({ link, address: '10.9.0.1/24' }));
  socket.request(newRoute({ destination: 'default', gateway: '10.9.0.254', link }));
  socket.request(newRoute({ destination: '10.8.0.0/16', link }));
  const far = { destination: 'default', gateway: '203.0.113.7', link, table: 70000, onLink: true };
  socket.request(newRoute(far));
  const rule = {
    family: 'ipv4',
    mark: 0x1000005,
    mask: 0xff00ffff,
    table: 70000,
    priority: 99,
  } as const;
  socket.request(newRule(rule));

  expect(inside('a', 'ip', '-j', 'route')).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ dst: 'default', gateway: '10.9.0.254' }),
      expect.objectContaining({ dst: '10.8.0.0/16', dev: 'br0', scope: 'link' }),
    ]),
  );
  expect(inside('a', 'ip', '-j', 'route', 'show', 'table', '70000')).toMatchObject([
    { dst: 'default', gateway: '203.0.113.7', flags: expect.arrayContaining(['onlink']) },
  ]);
  expect(inside('a', 'ip', '-j', 'rule')).toContainEqual(
    expect.objectContaining({
      priority: 99,
      fwmark: '0x1000005',
      fwmask: '0xff00ffff',
      table: '70000',
    }),
  );
  expect(socket.dump(dumpAddresses()).map(parseAddress)).toContainEqual({
    link,
    address: '10.9.0.1/24',
    linkLocal: false,
  });
  expect(socket.dump(dumpRoutes()).map(parseRoute)).toContainEqual(expect.objectContaining(far));
  expect(socket.dump(dumpRules()).map(parseRule)).toContainEqual(rule);

  socket.request(deleteRule(rule));
  socket.request(deleteRoute(far));
  socket.request(deleteAddress({ link, address: '10.9.0.1/24' }));
  expect(socket.dump(dumpRules()).map(parseRule)).not.toContainEqual(rule);
  // What is left the bridge gave itself.
  const left = socket.dump(dumpAddresses()).map(parseAddress);
  expect(left.filter(({ linkLocal }) => !linkLocal)).toEqual([]);
});

test('the same for IPv6, usable at once', () => {
  socket.request(newLink({ kind: 'bridge', name: 'br0' }));
  const link = indexOf('br0');
  socket.request(newAddress({ link, address: 'fd00:9:0:0:0::1/64' }));
  socket.request(newAddress({ link, address: 'fe80::1/64' }));
  socket.request(changeLink(link, { up: true }));
  socket.request(newRoute({ destination: 'default', gateway: 'fd00:9::fe', link }));
  socket.request(newRoute({ destination: '2001:db8::/32', link }));
  const mac = '02:42:0a:00:00:05';
  socket.request(putNeighbour({ link, address: 'fd00:9::5', mac }));

  const [addresses] = inside('a', 'ip', '-j', '-6', 'addr', 'show', 'br0') as readonly unknown[];
  expect(addresses).toMatchObject({
    addr_info: expect.arrayContaining([
      expect.objectContaining({ local: 'fd00:9::1', prefixlen: 64, nodad: true }),
    ]),
  });
  expect(inside('a', 'ip', '-j', '-6', 'route')).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ dst: 'default', gateway: 'fd00:9::fe' }),
      expect.objectContaining({ dst: '2001:db8::/32', dev: 'br0' }),
    ]),
  );
  expect(inside('a', 'ip', '-j', '-6', 'neigh')).toContainEqual(
    expect.objectContaining({ dst: 'fd00:9::5', lladdr: mac, state: ['PERMANENT'] }),
  );
  expect(socket.dump(dumpAddresses()).map(parseAddress)).toEqual(
    expect.arrayContaining([
      { link, address: 'fd00:9::1/64', linkLocal: false },
      { link, address: 'fe80::1/64', linkLocal: true },
    ]),
  );
  expect(socket.dump(dumpRoutes()).map(parseRoute)).toContainEqual(
    expect.objectContaining({ destination: 'default', gateway: 'fd00:9::fe', link }),
  );
  const neighbour = { link, address: 'fd00:9::5', mac };
  expect(socket.dump(dumpNeighbours()).map(parseNeighbour)).toContainEqual({
    ...neighbour,
    permanent: true,
  });

  const rule = { family: 'ipv6', mark: 5, mask: 0xff, table: 70000, priority: 99 } as const;
  socket.request(newRule(rule));
  expect(inside('a', 'ip', '-j', '-6', 'rule')).toContainEqual(
    expect.objectContaining({ priority: 99, fwmark: '0x5', table: '70000' }),
  );
  expect(socket.dump(dumpRules()).map(parseRule)).toContainEqual(rule);

  socket.request(deleteRule(rule));
  expect(socket.dump(dumpRules()).map(parseRule)).not.toContainEqual(rule);
  socket.request(deleteNeighbour(neighbour));
  socket.request(deleteRoute({ destination: '2001:db8::/32', link }));
  socket.request(deleteAddress({ link, address: 'fd00:9::1/64' }));
  const left = socket.dump(dumpAddresses()).map(parseAddress);
  expect(left.filter(({ linkLocal }) => !linkLocal)).toEqual([]);
  expect(JSON.stringify(inside('a', 'ip', '-j', '-6', 'neigh'))).not.toContain('fd00:9::5');
});

test('local routes of one address by several links stand side by side', () => {
  const own = ['br0', 'br1'].map((name) => {
    socket.request(newLink({ kind: 'bridge', name }));
    const link = indexOf(name);
    socket.request(changeLink(link, { up: true }));
    return { destination: '::1/128', link, table: TABLE_LOCAL, local: true } as const;
  });
  for (const route of own) socket.request(newRoute(route));
  const held = (): readonly unknown[] =>
    socket
      .dump(dumpRoutes())
      .map(parseRoute)
      .filter(({ local, destination }) => local && destination === '::1/128')
      .map(({ link }) => link);
  expect(held()).toEqual(expect.arrayContaining(own.map(({ link }) => link)));
  const [first, second] = own;
  if (first === undefined || second === undefined) throw new Error('two links');
  socket.request(deleteRoute(first));
  expect(held()).toContain(second.link);
  expect(held()).not.toContain(first.link);
});

test('a refusal names the request, the errno and the reason of the kernel', () => {
  socket.request(newLink({ kind: 'bridge', name: 'br0' }));
  expect(() => socket.request(newLink({ kind: 'bridge', name: 'br0' }))).toThrow(/EEXIST/);
  expect(() => socket.request(newLink({ kind: 'bridge', name: 'sixteen-letters-' }))).toThrow(
    /EINVAL|ERANGE/,
  );
  expect(() => socket.request(getLink('none'))).toThrow(/ENODEV/);
});

test('a batch tries everything, tolerates what it is told to and reports the first failure', () => {
  socket.request(newLink({ kind: 'bridge', name: 'br0' }));
  const link = indexOf('br0');
  const some = Array.from({ length: 450 }, (_, i) =>
    newAddress({ link, address: `10.1.${i >> 8}.${i & 255}/32` }),
  );
  socket.batch([...some, ...some.slice(0, 10)], ['EEXIST']);
  expect(socket.dump(dumpAddresses())).toHaveLength(450);
  expect(() =>
    socket.batch([deleteLink(9999), newAddress({ link, address: '10.2.0.1/32' })]),
  ).toThrow(/ENODEV/);
  expect(socket.dump(dumpAddresses())).toHaveLength(451);
});
