import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { encodeAddress } from '../address.ts';
import { createNamespace, NetworkNamespace, removeNamespace } from '../namespace.ts';
import { NetlinkSocket } from '../socket.ts';
import { listMembers, readGeneration } from './listing.ts';
import { encodeTransaction } from './transaction.ts';

const SET = 'asked';
let folder: string;
let socket: NetlinkSocket;
const pin = (): string => join(folder, 'ns');
const inside = (...words: readonly string[]): string =>
  execFileSync('nsenter', [`--net=${pin()}`, ...words], { encoding: 'utf8' });
const members = (): readonly string[] => listMembers(socket, 't', SET);

/** One datagram to an address of the loopback link. */
function ask(address: string): void {
  const send = `require('node:dgram').createSocket('udp4').send('x', 9, '${address}', () => process.exit())`;
  inside(process.execPath, '-e', send);
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'note-'));
  createNamespace(pin());
  using namespace = NetworkNamespace.open(pin());
  socket = namespace.run(() => NetlinkSocket.open('netfilter'));
  inside('ip', 'link', 'set', 'lo', 'up');
  inside('nft', 'add table ip t');
  inside('nft', 'add chain ip t out { type filter hook output priority 0; }');
  const [table, chain] = ['t', 'out'];
  socket.transact(
    encodeTransaction([
      { do: 'add-set', table, set: SET, shape: { key: ['ipv4'], grows: { most: 2 } } },
      {
        do: 'add-rule',
        table,
        chain,
        expressions: [
          { kind: 'meta', key: 'l4proto', target: 1 },
          { kind: 'cmp', source: 1, operator: 'eq', value: Buffer.from([17]) },
          { kind: 'payload', base: 'network', offset: 16, length: 4, target: 1 },
          { kind: 'note', set: SET, source: 1 },
        ],
      },
    ]),
  );
});

afterEach(() => {
  socket[Symbol.dispose]();
  removeNamespace(pin());
  rmSync(folder, { recursive: true });
});

test('a rule that notes is what nft calls adding to a dynamic set', () => {
  const text = inside('nft', 'list', 'table', 't').replaceAll(/\s+/g, ' ');
  expect(text).toMatch(/size 2 flags dynamic .*add @asked \{ ip daddr \}/);
});

test('what packets ask for is noted once, by no transaction, until the set is full', () => {
  const before = readGeneration(socket);
  for (const address of ['127.0.0.7', '127.0.0.7', '127.0.0.8', '127.0.0.9']) ask(address);
  expect(members()).toEqual(['7f000007', '7f000008']);
  expect(readGeneration(socket)).toBe(before);
});

test('a note that was taken back makes room, and is written again', () => {
  for (const address of ['127.0.0.7', '127.0.0.8']) ask(address);
  const elements = [{ key: encodeAddress('127.0.0.7') }];
  socket.transact(encodeTransaction([{ do: 'delete-elements', table: 't', set: SET, elements }]));
  expect(members()).toEqual(['7f000008']);
  ask('127.0.0.7');
  expect(members()).toEqual(['7f000007', '7f000008']);
});

test('no set and no table have no members', () => {
  expect(listMembers(socket, 't', 'nothing')).toEqual([]);
  expect(listMembers(socket, 'nowhere', SET)).toEqual([]);
});
