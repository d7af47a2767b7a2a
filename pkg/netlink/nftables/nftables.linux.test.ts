import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createNamespace, NetworkNamespace, removeNamespace } from '../namespace.ts';
import { NetlinkSocket } from '../socket.ts';
import type { Command, RuleExpression } from './command.ts';
import { CT_STATUS_DNAT, CtState, FIB_TYPE_LOCAL } from './expression.ts';
import { digestTable, listTable, listTables, readGeneration } from './listing.ts';
import { encodeTransaction } from './transaction.ts';

let folder: string;
let socket: NetlinkSocket;
const pin = (): string => join(folder, 'ns');
const nft = (...words: readonly string[]): string =>
  execFileSync('nsenter', [`--net=${pin()}`, 'nft', ...words], { encoding: 'utf8' });
const host32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const ip = (text: string): Buffer => Buffer.from(text.split('.').map(Number));
const commit = (commands: readonly Command[]): void => {
  socket.transact(encodeTransaction(commands));
};
const rule = (chain: string, ...expressions: readonly RuleExpression[]): Command => ({
  do: 'add-rule',
  table: 't',
  chain,
  expressions,
});

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nftables-'));
  createNamespace(pin());
  using namespace = NetworkNamespace.open(pin());
  socket = namespace.run(() => NetlinkSocket.open('netfilter'));
});

afterEach(() => {
  socket[Symbol.dispose]();
  removeNamespace(pin());
  rmSync(folder, { recursive: true });
});

const BALANCER: readonly Command[] = [
  { do: 'add-table', table: 't' },
  { do: 'add-set', table: 't', set: 'vips', shape: { key: ['ipv4'], value: 'verdict' } },
  {
    do: 'add-chain',
    table: 't',
    chain: 'out',
    hook: { type: 'nat', hook: 'output', priority: -100 },
  },
  rule(
    'out',
    { kind: 'payload', base: 'network', offset: 16, length: 4, target: 1 },
    { kind: 'lookup', set: 'vips', source: 1, target: 0 },
  ),
  { do: 'add-chain', table: 't', chain: 's1' },
  rule(
    's1',
    { kind: 'numgen', mode: 'increment', modulus: 2, target: 1 },
    {
      kind: 'anonymous-lookup',
      shape: { key: ['integer'], value: ['ipv4'] },
      elements: [
        { key: host32(0), value: ip('10.0.0.11') },
        { key: host32(1), value: ip('10.0.0.12') },
      ],
      source: 1,
      target: 1,
    },
    { kind: 'dnat', address: 1 },
  ),
  {
    do: 'add-elements',
    table: 't',
    set: 'vips',
    elements: [{ key: ip('10.0.0.2'), verdict: { verdict: 'goto', chain: 's1' } }],
  },
];

test('a balancer reads back in nft as it was meant', () => {
  commit(BALANCER);
  const text = nft('list', 'ruleset').replaceAll(/\s+/g, ' ');
  expect(text).toContain('type nat hook output priority -100; policy accept; ip daddr vmap @vips');
  expect(text).toContain('elements = { 10.0.0.2 : goto s1 }');
  expect(text).toMatch(/dnat (?:ip )?to numgen inc mod 2 map \{ 0 : 10.0.0.11, 1 : 10.0.0.12 \}/);
});

const eq = (source: number, value: Buffer): RuleExpression => ({
  kind: 'cmp',
  source,
  operator: 'eq',
  value,
});

function everyExpression(): readonly Command[] {
  return [
    { do: 'add-table', table: 't' },
    {
      do: 'add-chain',
      table: 't',
      chain: 'p',
      hook: { type: 'nat', hook: 'postrouting', priority: 100 },
    },
    {
      do: 'add-chain',
      table: 't',
      chain: 'o',
      hook: { type: 'route', hook: 'output', priority: -150 },
    },
    {
      do: 'add-chain',
      table: 't',
      chain: 'd',
      hook: { type: 'nat', hook: 'output', priority: -100 },
    },
    {
      do: 'add-set',
      table: 't',
      set: 'ports',
      shape: { key: ['protocol', 'port'], value: 'verdict' },
    },
    {
      do: 'add-elements',
      table: 't',
      set: 'ports',
      elements: [
        { key: Buffer.from([6, 0, 0, 0, 0x1f, 0x90, 0, 0]), verdict: { verdict: 'accept' } },
      ],
    },
    ...natRules(),
    ...markRules(),
    ...balancingRules(),
  ];
}

function natRules(): readonly Command[] {
  const ifname = Buffer.alloc(16);
  ifname.write('eth0');
  return [
    rule('p', { kind: 'meta', key: 'oifname', target: 1 }, eq(1, ifname), { kind: 'masquerade' }),
    rule(
      'p',
      { kind: 'payload', base: 'network', offset: 12, length: 4, target: 1 },
      { kind: 'bitwise', source: 1, target: 1, mask: ip('255.255.0.0'), xor: ip('0.0.0.0') },
      { kind: 'cmp', source: 1, operator: 'neq', value: ip('172.18.0.0') },
      { kind: 'ct', key: 'status', target: 1 },
      { kind: 'bitwise', source: 1, target: 1, mask: host32(CT_STATUS_DNAT), xor: host32(0) },
      { kind: 'cmp', source: 1, operator: 'neq', value: host32(0) },
      { kind: 'immediate', target: 1, value: ip('10.0.0.9') },
      { kind: 'snat', address: 1 },
    ),
  ];
}

function markRules(): readonly Command[] {
  return [
    rule(
      'o',
      { kind: 'ct', key: 'mark', target: 1 },
      { kind: 'bitwise', source: 1, target: 1, mask: host32(0xf00), xor: host32(0) },
      eq(1, host32(0x200)),
      { kind: 'ct', key: 'mark', target: 1 },
      { kind: 'meta-set', key: 'mark', source: 1 },
    ),
    rule(
      'o',
      { kind: 'ct', key: 'state', target: 1 },
      { kind: 'bitwise', source: 1, target: 1, mask: host32(CtState.new), xor: host32(0) },
      { kind: 'cmp', source: 1, operator: 'neq', value: host32(0) },
      { kind: 'immediate', target: 1, value: host32(0x201) },
      { kind: 'ct-set', key: 'mark', source: 1 },
    ),
    rule('o', { kind: 'meta', key: 'l4proto', target: 1 }, eq(1, Buffer.from([6])), {
      kind: 'reject',
      reply: 'tcp-reset',
    }),
    rule('o', { kind: 'reject', reply: 'port-unreachable' }),
  ];
}

function balancingRules(): readonly Command[] {
  return [
    rule(
      'd',
      { kind: 'fib-destination-type', target: 1 },
      eq(1, host32(FIB_TYPE_LOCAL)),
      { kind: 'meta', key: 'l4proto', target: 1 },
      { kind: 'payload', base: 'transport', offset: 2, length: 2, target: 9 },
      { kind: 'lookup', set: 'ports', source: 1, target: 0 },
    ),
    rule(
      'd',
      { kind: 'payload', base: 'network', offset: 12, length: 4, target: 1 },
      { kind: 'jhash', source: 1, length: 4, modulus: 2, seed: 7, offset: 9, target: 1 },
      {
        kind: 'anonymous-lookup',
        shape: { key: ['integer'], value: ['ipv4', 'port'] },
        elements: [
          { key: host32(9), value: Buffer.from([10, 0, 0, 1, 0, 80, 0, 0]) },
          { key: host32(10), value: Buffer.from([10, 0, 0, 2, 0, 80, 0, 0]) },
        ],
        source: 1,
        target: 1,
      },
      { kind: 'dnat', address: 1, port: 9 },
    ),
    rule(
      'd',
      { kind: 'meta', key: 'l4proto', target: 1 },
      eq(1, Buffer.from([17])),
      { kind: 'immediate', target: 1, value: Buffer.from([0x30, 0x39]) },
      { kind: 'redirect', port: 1 },
    ),
    rule(
      'p',
      { kind: 'route-tcp-mss', target: 1 },
      { kind: 'to-network-order', source: 1, target: 1 },
      { kind: 'tcp-mss-set', source: 1 },
    ),
    rule('d', { kind: 'notrack' }),
    rule('d', { kind: 'verdict', verdict: { verdict: 'drop' } }),
  ];
}

test('every expression is what nft calls it', () => {
  commit(everyExpression());
  const text = nft('-n', 'list', 'ruleset');
  for (const line of [
    'oifname "eth0" masquerade',
    'ip saddr != 172.18.0.0/16 ct status 0x20 snat to 10.0.0.9',
    'ct mark & 0x00000f00 == 0x00000200 meta mark set ct mark',
    'ct state 0x8 ct mark set 0x00000201',
    'reject with tcp reset',
    /reject\n/,
    'fib daddr type 2 meta l4proto . th dport vmap @ports',
    'elements = { 6 . 8080 : accept }',
    'jhash ip saddr mod 2 seed 0x7 offset 9',
    '9 : 10.0.0.1 . 80',
    'meta l4proto 17 redirect to :12345',
    'tcp option maxseg size set rt mtu',
    'notrack',
    'drop',
  ]) {
    expect.soft(text).toMatch(line);
  }
});

test('a transaction is all or nothing', () => {
  expect(() =>
    commit([
      { do: 'add-table', table: 'half' },
      { do: 'delete-chain', table: 'half', chain: 'missing' },
    ]),
  ).toThrow(/ENOENT/);
  expect(listTables(socket)).toEqual([]);
});

test('the same bytes replay into another namespace', () => {
  const bytes = encodeTransaction(BALANCER);
  socket.transact(bytes);
  commit([{ do: 'delete-table', table: 't' }]);
  socket.transact(bytes);
  expect(listTables(socket)).toEqual(['t']);
});

test('listing shows chains, rules and elements, and notices sabotage', () => {
  commit(BALANCER);
  const before = listTable(socket, 't');
  expect(before?.chains).toEqual(['out', 's1']);
  expect(before?.ruleCounts.get('s1')).toBe(1);
  expect(before?.sets.get('vips')).toEqual([{ key: '0a000002', value: '', chain: 's1' }]);
  expect(listTable(socket, 't')?.digest).toBe(before?.digest);
  const generation = readGeneration(socket);
  nft('flush', 'map', 'ip', 't', 'vips');
  expect(readGeneration(socket)).toBeGreaterThan(generation);
  expect(listTable(socket, 't')?.sets.get('vips')).toEqual([]);
  expect(digestTable(socket, 't')).toBe(before?.digest);
  nft('add', 'set', 'ip', 't', 'foreign', '{ type ipv4_addr; }');
  const withSet = digestTable(socket, 't');
  expect(withSet).not.toBe(before?.digest);
  nft('flush', 'chain', 'ip', 't', 's1');
  expect(digestTable(socket, 't')).not.toBe(withSet);
  expect(listTable(socket, 'absent')).toBeUndefined();
  expect(digestTable(socket, 'absent')).toBeUndefined();
});

test('replacing a chain and elements of a live table', () => {
  commit(BALANCER);
  commit([
    { do: 'flush-chain', table: 't', chain: 's1' },
    rule(
      's1',
      { kind: 'immediate', target: 1, value: ip('10.0.0.13') },
      { kind: 'dnat', address: 1 },
    ),
    { do: 'add-chain', table: 't', chain: 's2' },
    { do: 'delete-elements', table: 't', set: 'vips', elements: [{ key: ip('10.0.0.2') }] },
    {
      do: 'add-elements',
      table: 't',
      set: 'vips',
      elements: [{ key: ip('10.0.0.3'), verdict: { verdict: 'goto', chain: 's1' } }],
    },
  ]);
  const text = nft('list', 'ruleset');
  expect(text).toContain('dnat to 10.0.0.13');
  expect(text).toContain('10.0.0.3 : goto s1');
  expect(text).not.toContain('10.0.0.2');
});

test('a thousand services install in one transaction', () => {
  const many: Command[] = [...BALANCER];
  for (let i = 0; i < 1000; i++) {
    const chain = `x${i}`;
    many.push({ do: 'add-chain', table: 't', chain });
    many.push(
      rule(
        chain,
        { kind: 'numgen', mode: 'random', modulus: 10, target: 1 },
        {
          kind: 'anonymous-lookup',
          shape: { key: ['integer'], value: ['ipv4'] },
          elements: Array.from({ length: 10 }, (_, k) => ({
            key: host32(k),
            value: ip(`10.8.0.${k}`),
          })),
          source: 1,
          target: 1,
        },
        { kind: 'dnat', address: 1 },
      ),
    );
  }
  commit(many);
  expect(listTable(socket, 't')?.chains).toHaveLength(1002);
});

test('tables of IPv6 stand beside those of IPv4 under the same name', () => {
  const table = 'ip6 t';
  const backend = Buffer.from('fd000000000000000000000000000005', 'hex');
  const slot = Buffer.concat([backend, host32(0)]);
  commit([
    { do: 'add-table', table: 't' },
    { do: 'add-table', table },
    { do: 'add-set', table, set: 'slots', shape: { key: ['ipv6', 'mark'], value: ['ipv6'] } },
    { do: 'add-elements', table, set: 'slots', elements: [{ key: slot, value: backend }] },
    { do: 'add-chain', table, chain: 'out', hook: { type: 'nat', hook: 'output', priority: -100 } },
    {
      do: 'add-rule',
      table,
      chain: 'out',
      expressions: [
        { kind: 'payload', base: 'network', offset: 24, length: 16, target: 1 },
        { kind: 'numgen', mode: 'increment', modulus: 2, target: 12 },
        { kind: 'lookup', set: 'slots', source: 1, target: 1 },
        { kind: 'dnat', address: 1 },
      ],
    },
    { do: 'add-chain', table, chain: 'no', hook: { type: 'filter', hook: 'output', priority: 0 } },
    {
      do: 'add-rule',
      table,
      chain: 'no',
      expressions: [{ kind: 'reject', reply: 'port-unreachable' }],
    },
  ]);
  expect(listTables(socket)).toEqual(expect.arrayContaining(['t', 'ip6 t']));
  const listing = listTable(socket, table);
  expect(listing?.ruleCounts.get('out')).toBe(1);
  expect(listing?.sets.get('slots')).toEqual([
    { key: slot.toString('hex'), value: backend.toString('hex'), chain: '' },
  ]);
  expect(listTable(socket, 't')?.chains).toEqual([]);
  const text = nft('list', 'table', 'ip6', 't');
  expect(text).toContain('dnat to ip6 daddr . numgen inc mod 2 map @slots');
  expect(text).toMatch(/fd00::5 . 0x0+ : fd00::5/);
  expect(text).toMatch(/\breject\b/);
  commit([{ do: 'delete-table', table }]);
  expect(listTables(socket)).toEqual(['t']);
});
