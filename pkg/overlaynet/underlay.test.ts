import { expect, test } from 'vitest';
import { silentLogger } from '../io/index.ts';
import type { NetworkTable, NodeId } from '../model/index.ts';
import type { Namespace } from './kernel/kernel.ts';
import { networkTable } from './testing/table.ts';
import { Underlay } from './underlay.ts';

const TABLE = networkTable({ endpoints: [], nodes: 3 });

function underlay(
  mtuTo: Readonly<Record<string, number>>,
  narrow: Readonly<Record<string, number>> = {},
): {
  underlay: Underlay;
  overlays: Map<string, { table: NetworkTable; setChecksumOffload: () => undefined }>;
  asked: string[];
  changes: number[];
} {
  const asked: string[] = [];
  const changes: number[] = [];
  const ping = (address: string, size = 0): ReturnType<Namespace['ping']> => {
    asked.push(address);
    const answer = size <= (mtuTo[address] ?? 0) ? 'answered' : 'EHOSTUNREACH';
    return { answer: () => answer, [Symbol.dispose]: () => undefined };
  };
  const setChecksumOffload = (): undefined => undefined;
  const overlays = new Map([['app', { table: TABLE, setChecksumOffload }]]);
  const made: Underlay = new Underlay({
    namespace: { ping } as Namespace,
    address: '192.168.50.1',
    mtuOf: () => 1500,
    known: { narrowPaths: narrow },
    log: silentLogger,
    overlays,
    onChange: () => changes.push(made.mtuOf(TABLE)),
  });
  return { underlay: made, overlays, asked, changes };
}

test('overlays have what the narrowest path leaves, and again more when its host is gone', async () => {
  const mtus = { '192.168.50.2': 1500, '192.168.50.3': 1400 };
  const { underlay: made, overlays, asked, changes } = underlay(mtus);
  made.follow();
  await expect.poll(() => changes).toEqual([1350]);
  expect(asked).not.toContain('192.168.50.1');
  expect(made.record).toEqual({ narrowPaths: { '192.168.50.3': 1400 } });
  const before = asked.length;
  made.follow();
  expect(asked).toHaveLength(before);
  const table = { ...TABLE, peers: TABLE.peers.slice(0, 2) };
  overlays.set('app', { table, setChecksumOffload: () => undefined });
  made.follow();
  expect(changes).toEqual([1350, 1450]);
  expect(made.mtuOf({ ...TABLE, mtu: 1200 })).toBe(1200);
});

test('the paths are looked at when the peers are others, or the host has another address', async () => {
  const { underlay: made, overlays, asked } = underlay({});
  const retell = (table: NetworkTable): void => {
    overlays.set('app', { table, setChecksumOffload: () => undefined });
    made.followTables();
  };
  retell(TABLE);
  await expect.poll(() => new Set(asked).size).toBe(2);
  const more = { nodeId: 'node9' as NodeId, address: '192.168.50.9' };
  retell({ ...TABLE, endpoints: [] });
  retell({ ...TABLE, peers: [...TABLE.peers, more] });
  await expect.poll(() => asked).toContain('192.168.50.9');
  made.moveTo('192.168.50.2');
  retell({ ...TABLE, peers: TABLE.peers });
  await expect.poll(() => asked).toContain('192.168.50.1');
});

test('what an earlier agent found holds until the path is looked at; silence changes nothing', async () => {
  const { underlay: made, asked, changes } = underlay({}, { '192.168.50.2': 1400 });
  expect(made.mtuOf(TABLE)).toBe(1350);
  made.follow();
  await expect.poll(() => asked.filter((address) => address === '192.168.50.2').length).toBe(6);
  expect(made.mtuOf(TABLE)).toBe(1350);
  expect(changes).toEqual([]);
});
