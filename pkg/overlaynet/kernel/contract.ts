import { afterEach, beforeEach, expect, test } from 'vitest';
import { type SecurityPolicy, TABLE_LOCAL, TABLE_MAIN } from 'vxlan-netlink';
import { type DesiredNamespace, planNamespace } from '../plan.ts';
import type { Kernel, Namespace } from './kernel.ts';

interface Given {
  readonly kernel: Kernel;
  /** Paths for namespaces. */
  readonly place: (name: string) => string;
  readonly left: Namespace;
  readonly right: Namespace;
}

/** What every kernel must do, the real one and the fake alike. */
export function describeKernel(kernel: Kernel, place: (name: string) => string): void {
  let given: Given;

  beforeEach(() => {
    for (const name of ['left', 'right']) kernel.createNamespace(place(name));
    given = { kernel, place, left: kernel.open(place('left')), right: kernel.open(place('right')) };
  });

  afterEach(() => {
    for (const namespace of [given.left, given.right]) namespace[Symbol.dispose]();
    for (const name of ['left', 'right']) kernel.removeNamespace(place(name));
  });

  test.each(CASES)('%s', (_, check) => check(given));
}

const hub = ({ right }: Given): DesiredNamespace => ({
  links: [
    { kind: 'bridge', name: 'br0', mtu: 1450, mac: '02:42:0a:00:00:01' },
    {
      kind: 'vxlan',
      name: 'vx0',
      mtu: 1450,
      master: 'br0',
      vni: 4100,
      local: '192.0.2.1',
      port: 4789,
      underlay: right,
    },
    {
      kind: 'veth',
      name: 'v-one',
      mtu: 1450,
      master: 'br0',
      peer: { name: 'eth0', mac: '02:42:0a:00:00:02', mtu: 1450, namespace: right },
    },
  ],
  addresses: [
    { link: 'br0', address: '10.0.0.1/24' },
    { link: 'br0', address: 'fd00::1/64' },
  ],
  routes: [
    {
      destination: 'default',
      link: 'br0',
      gateway: '10.0.0.9',
      table: TABLE_MAIN,
      onLink: false,
    },
    { destination: 'default', link: 'br0', gateway: '10.0.0.8', table: 1000, onLink: false },
    { destination: 'default', link: 'br0', gateway: 'fd00::8', table: 1000, onLink: false },
    { destination: '::1/128', link: 'br0', table: TABLE_LOCAL, onLink: false, local: true },
  ],
  rules: [
    { family: 'ipv4', mark: 7, mask: 0xff, table: 1000, priority: 100 },
    { family: 'ipv6', mark: 7, mask: 0xff, table: 1000, priority: 100 },
    { family: 'ipv4', mark: 7, mask: 0xff, table: 0, priority: 99, others: { goOnAt: 100 } },
  ],
  neighbours: [{ link: 'vx0', address: '10.0.0.3', mac: '02:42:0a:00:00:03' }],
  fdb: [
    { link: 'vx0', mac: '02:42:0a:00:00:03', tunnel: '192.0.2.3' },
    { link: 'vx0', mac: '02:42:0a:00:00:03' },
    { link: 'v-one', mac: '02:42:0a:00:00:02' },
  ],
  ownedLinkPrefix: 'v',
  ownedRulePriorities: [99, 100],
  prune: true,
});

function settle({ left }: Given, desired: DesiredNamespace): number {
  const operations = planNamespace(desired, left.observe());
  left.apply(operations);
  return operations.length;
}

const CASES: readonly (readonly [string, (given: Given) => void | Promise<void>])[] = [
  [
    'a pin is made once and an unknown path is not opened',
    (given): void => {
      const { kernel, place } = given;
      expect(kernel.createNamespace(place('left'))).toBe(false);
      expect(() => kernel.open(place('nowhere'))).toThrow(/ENOENT/);
    },
  ],

  [
    'a namespace has a number that it keeps and no other has',
    ({ kernel, place, left, right }): void => {
      expect(left.cookie()).toMatch(/^[1-9]\d*$/);
      expect(right.cookie()).not.toBe(left.cookie());
      using again = kernel.open(place('left'));
      expect(again.cookie()).toBe(left.cookie());
    },
  ],

  [
    'a plan applied leaves nothing to do, and both ends of a veth exist',
    (given): void => {
      const { left, right } = given;
      expect(settle(given, hub(given))).toBeGreaterThan(10);
      expect(planNamespace(hub(given), left.observe())).toEqual([]);
      const eth0 = right.observe().links.find(({ name }) => name === 'eth0');
      expect(eth0).toMatchObject({ kind: 'veth', mtu: 1450, mac: '02:42:0a:00:00:02', up: false });
    },
  ],

  [
    'pruning takes away what is not desired, and the other end with it',
    (given): void => {
      const { left, right } = given;
      settle(given, hub(given));
      const { links, ...rest } = hub(given);
      const fewer = { ...rest, links: links.slice(0, 2), rules: [], neighbours: [], fdb: [] };
      settle(given, { ...fewer, routes: [] });
      const observed = left.observe();
      expect(observed.links.map(({ name }) => name)).toEqual(['lo', 'br0', 'vx0']);
      expect([observed.rules, observed.neighbours, observed.fdb]).toEqual([[], [], []]);
      expect(right.observe().links.map(({ name }) => name)).not.toContain('eth0');
    },
  ],

  [
    'a link of other properties is changed in place or made anew',
    (given): void => {
      const { left } = given;
      settle(given, hub(given));
      const [bridge, tunnel, port] = hub(given).links;
      if (tunnel?.kind !== 'vxlan' || bridge === undefined || port === undefined) throw new Error();
      const links = [{ ...bridge, mtu: 1400 }, { ...tunnel, vni: 4200 }, port];
      settle(given, { ...hub(given), links });
      const observed = left.observe().links;
      expect(observed.find(({ name }) => name === 'br0')?.mtu).toBe(1400);
      expect(observed.find(({ name }) => name === 'vx0')?.vxlan?.vni).toBe(4200);
    },
  ],

  [
    'removing what is gone already is no error, using it is',
    (given): void => {
      const { left } = given;
      left.apply([
        { do: 'delete-link', name: 'gone' },
        { do: 'delete-rule', rule: { family: 'ipv4', mark: 1, mask: 1, table: 5, priority: 100 } },
      ]);
      const address = { link: 'gone', address: '10.0.0.1/24' };
      expect(() => left.apply([{ do: 'add-address', address }])).toThrow(/ENODEV/);
    },
  ],

  [
    'links that are being removed are not seen any more, and gone in the end with their other ends',
    async (given): Promise<void> => {
      const { left, right } = given;
      settle(given, hub(given));
      const names = (): readonly string[] => left.observe().links.map(({ name }) => name);
      const port = left.removeLinks(['v-one', 'gone']);
      expect(names()).toEqual(['lo', 'br0', 'vx0']);
      expect(left.observe().fdb.filter(({ link }) => link !== 'vx0')).toEqual([]);
      const tunnel = left.removeLinks(['vx0']);
      expect(names()).toEqual(['lo', 'br0']);
      await Promise.all([port, tunnel, left.removeLinks([])]);
      expect(right.observe().links.map(({ name }) => name)).not.toContain('eth0');
      settle(given, hub(given));
      expect(planNamespace(hub(given), left.observe())).toEqual([]);
      await left.removeLinks(['v-one']);
      await left.removeLinks(['v-one']);
      expect(names()).toEqual(['lo', 'br0', 'vx0']);
    },
  ],

  [
    'settings are read, written and told apart from unknown ones',
    (given): void => {
      const { left, right } = given;
      expect(left.readSysctl('net/ipv4/no_such_key')).toBeUndefined();
      left.writeSysctl('net/ipv4/ip_forward', '1');
      expect([left, right].map((ns) => ns.readSysctl('net/ipv4/ip_forward'))).toEqual(['1', '0']);
    },
  ],

  [
    'a transaction is whole or not at all, and counted',
    (given): void => {
      const { left, right } = given;
      const before = left.generation();
      const table = 't';
      const key = Buffer.from([10, 0, 0, 1]);
      const verdict = { verdict: 'goto', chain: 'c' } as const;
      const committed = left.commit([
        { do: 'add-table', table },
        { do: 'add-set', table, set: 's', shape: { key: ['ipv4'], value: 'verdict' } },
        { do: 'add-chain', table, chain: 'c' },
        { do: 'add-rule', table, chain: 'c', expressions: [{ kind: 'masquerade' }] },
        { do: 'add-elements', table, set: 's', elements: [{ key, verdict }] },
      ]);
      const listing = left.listTable(table);
      expect(listing?.chains).toEqual(['c']);
      expect(listing?.ruleCounts.get('c')).toBe(1);
      expect(listing?.sets.get('s')).toEqual([{ key: '0a000001', value: '', chain: 'c' }]);
      expect(left.setMembers(table, 's')).toEqual(['0a000001']);
      expect([left.setMembers(table, 'none'), left.setMembers('none', 's')]).toEqual([[], []]);
      expect([committed, left.generation()]).toEqual([before + 1, before + 1]);
      expect(() =>
        left.commit([
          { do: 'delete-elements', table, set: 's', elements: [{ key }] },
          { do: 'delete-chain', table, chain: 'missing' },
        ]),
      ).toThrow(/ENOENT/);
      expect(left.listTable(table)).toEqual(listing);
      left.commit([{ do: 'delete-elements', table, set: 's', elements: [{ key }] }]);
      expect(left.listTable(table)?.sets.get('s')).toEqual([]);
      expect(left.digestTable(table)).toBe(listing?.digest);
      left.commit([{ do: 'flush-chain', table, chain: 'c' }]);
      expect(left.digestTable(table)).not.toBe(listing?.digest);
      expect(left.digestTable('missing')).toBeUndefined();
      expect([left.tables(), right.tables()]).toEqual([['t'], []]);
    },
  ],

  [
    "encryption policies take each other's place and go, in one namespace only",
    (given): void => {
      const { left, right } = given;
      const selector = { source: '192.0.2.1', destination: '192.0.2.2', protocol: 17 } as const;
      const policy = (spi: number, priority: number): SecurityPolicy => ({
        direction: 'out',
        selector: { ...selector, destinationPort: 4790 },
        priority,
        action: 'allow',
        template: { source: '192.0.2.1', destination: '192.0.2.2', spi, request: 7 },
      });
      const ban: SecurityPolicy = {
        direction: 'in',
        selector: { protocol: 17, destinationPort: 4790 },
        priority: 9,
        action: 'block',
      };
      left.security.apply([
        { do: 'put-policy', policy: policy(300, 5) },
        { do: 'put-policy', policy: ban },
        { do: 'put-policy', policy: policy(301, 5) },
      ]);
      const found = left.security.observe().policies;
      expect(found).toHaveLength(2);
      expect(found).toEqual(expect.arrayContaining([policy(301, 5), ban]));
      expect(right.security.observe().policies).toEqual([]);
      const gone = { do: 'delete-policy', policy: ban } as const;
      left.security.apply([gone, gone]);
      expect(left.security.observe().policies).toEqual([policy(301, 5)]);
    },
  ],
];
