import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  type Connection,
  deleteConnection,
  deleteConnections,
  findConnections,
  type TrackedConnection,
} from './conntrack.ts';
import { createNamespace, NetworkNamespace, removeNamespace } from './namespace.ts';
import { encodeTransaction } from './nftables/transaction.ts';
import { PingSocket } from './ping-socket.ts';
import { NetlinkSocket } from './socket.ts';

let folder: string;
const pin = (): string => join(folder, 'ns');
const inside = (command: string): string =>
  execFileSync('nsenter', [`--net=${pin()}`, 'bash', '-c', command], { encoding: 'utf8' });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'conntrack-'));
  createNamespace(pin());
});

afterEach(() => {
  removeNamespace(pin());
  rmSync(folder, { recursive: true });
});

/** The first rule that asks for a connection's state switches tracking on in the namespace. */
function track(socket: NetlinkSocket, table = 't'): void {
  const hook = { type: 'filter', hook: 'output', priority: 0 } as const;
  const expressions = [{ kind: 'ct', key: 'state', target: 1 }] as const;
  socket.transact(
    encodeTransaction([
      { do: 'add-table', table },
      { do: 'add-chain', table, chain: 'c', hook },
      { do: 'add-rule', table, chain: 'c', expressions },
    ]),
  );
}

test('connections that match are forgotten, others stay', () => {
  using namespace = NetworkNamespace.open(pin());
  using socket = namespace.run(() => NetlinkSocket.open('netfilter'));
  track(socket);
  inside(
    'ip link set lo up; for n in 2 3; do echo x > /dev/udp/127.0.0.$n/9 || true; done 2>/dev/null',
  );
  const to = (address: string): readonly TrackedConnection[] =>
    findConnections(socket, { answeredBy: new Set([address]) });
  expect(to('127.0.0.2').map(({ connection }) => connection)).toEqual([
    {
      protocol: 17,
      source: '127.0.0.1',
      originalDestination: '127.0.0.2',
      ports: { source: expect.any(Number), destination: 9 },
      replySource: '127.0.0.2',
      packets: undefined,
      expiresInSeconds: expect.any(Number),
      assured: false,
    },
  ]);
  const [found] = to('127.0.0.2');
  if (found === undefined) throw new Error('a connection was tracked');
  expect(deleteConnection(socket, found)).toBe(true);
  expect(to('127.0.0.2')).toEqual([]);
  expect(deleteConnection(socket, found)).toBe(true);
  expect(to('127.0.0.3')).toHaveLength(1);
});

test('packets are counted where the namespace is told to, and a connection can be kept for what it is now', () => {
  using namespace = NetworkNamespace.open(pin());
  using socket = namespace.run(() => NetlinkSocket.open('netfilter'));
  track(socket);
  inside('sysctl -q net.netfilter.nf_conntrack_acct=1; ip link set lo up');
  inside('echo x > /dev/udp/127.0.0.2/9');
  const [found] = findConnections(socket);
  if (found === undefined) throw new Error('a connection was tracked');
  expect(found.connection.packets).toEqual({ sent: 1n, answered: 0n });
  inside('echo x > /dev/udp/127.0.0.3/9');
  const timeout = Number(inside('sysctl -n net.netfilter.nf_conntrack_udp_timeout'));
  expect(found.connection.expiresInSeconds).toBeGreaterThan(timeout - 10);
  expect(found.connection.expiresInSeconds).toBeLessThanOrEqual(timeout);
  const seen: Connection[] = [];
  const keep = (connection: Connection): boolean => seen.push(connection) > 0;
  expect(deleteConnection(socket, found, keep)).toBe(false);
  expect(seen).toEqual([{ ...found.connection, expiresInSeconds: expect.any(Number) }]);
  expect(findConnections(socket)).toHaveLength(2);
});

/** Beyond it the kernel picks, one address at a time. */
const VERY_MANY = 2000;

test.each([0, VERY_MANY])(
  'of %d others, those that some addresses answer are found and forgotten',
  (others) => {
    using namespace = NetworkNamespace.open(pin());
    using socket = namespace.run(() => NetlinkSocket.open('netfilter'));
    track(socket);
    track(socket, 'ip6 t');
    inside('ip link set lo up; ip addr add fd00::2/128 dev lo nodad');
    const ask = (address: string, count: number): string =>
      `for ((n = 1; n <= ${count}; n++)); do echo x > /dev/udp/${address}/$n || true; done 2>/dev/null;`;
    inside(ask('127.0.0.2', 3) + ask('fd00::2', 2) + ask('127.0.0.3', others * 2));
    using _ping = namespace.run(() => PingSocket.send('127.0.0.2'));
    let protocol: number | undefined = 17;
    const of = (...addresses: readonly string[]): readonly string[] =>
      findConnections(socket, { answeredBy: new Set(addresses), protocol }).map(
        ({ connection }) => connection.replySource,
      );
    expect(of('127.0.0.2')).toEqual(Array(3).fill('127.0.0.2'));
    expect(of('fd00::2')).toEqual(Array(2).fill('fd00::2'));
    expect(of('127.0.0.2', 'fd00:0::2').toSorted()).toEqual([
      ...Array(3).fill('127.0.0.2'),
      ...Array(2).fill('fd00::2'),
    ]);
    expect(of('127.0.0.4', 'fd00::4')).toEqual([]);
    protocol = undefined;
    expect(of('127.0.0.2')).toHaveLength(4);
    const found = findConnections(socket, { answeredBy: new Set(['127.0.0.2', 'fd00::2']) });
    deleteConnections(socket, found);
    deleteConnections(socket, found);
    expect(of('127.0.0.2', 'fd00::2')).toEqual([]);
    expect(of('127.0.0.3')).toHaveLength(others * 2);
  },
);
