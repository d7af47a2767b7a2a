import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { deleteConnections } from './conntrack.ts';
import { createNamespace, NetworkNamespace, removeNamespace } from './namespace.ts';
import { encodeTransaction } from './nftables/transaction.ts';
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

test('connections that match are forgotten, others stay', () => {
  using namespace = NetworkNamespace.open(pin());
  using socket = namespace.run(() => NetlinkSocket.open('netfilter'));
  // The first rule that asks for a connection's state switches tracking on in the namespace.
  socket.transact(
    encodeTransaction([
      { do: 'add-table', table: 't' },
      {
        do: 'add-chain',
        table: 't',
        chain: 'c',
        hook: { type: 'filter', hook: 'output', priority: 0 },
      },
      {
        do: 'add-rule',
        table: 't',
        chain: 'c',
        expressions: [{ kind: 'ct', key: 'state', target: 1 }],
      },
    ]),
  );
  inside(
    'ip link set lo up; for n in 2 3; do echo x > /dev/udp/127.0.0.$n/9 || true; done 2>/dev/null',
  );
  const seen: unknown[] = [];
  deleteConnections(socket, (connection) => {
    seen.push(connection);
    return false;
  });
  expect(seen).toContainEqual({
    protocol: 17,
    source: '127.0.0.1',
    originalDestination: '127.0.0.2',
    replySource: '127.0.0.2',
  });
  expect(deleteConnections(socket, ({ replySource }) => replySource === '127.0.0.2')).toBe(1);
  expect(deleteConnections(socket, ({ replySource }) => replySource === '127.0.0.2')).toBe(0);
  expect(deleteConnections(socket, ({ replySource }) => replySource === '127.0.0.3')).toBe(1);
});
