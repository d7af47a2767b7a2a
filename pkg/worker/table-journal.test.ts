import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { NetworkId, NetworkTable } from '../model/index.ts';
import type { AssignmentChanges, NetworkPatch } from '../rpc/index.ts';
import { nextTables } from './network-table.ts';
import { TableJournal } from './table-journal.ts';

let directory: string;
const path = (): string => join(directory, 'networks.jsonl');

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'journal-'));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

const tableOf = (id: string): NetworkTable =>
  ({ networkId: id, peers: [], endpoints: [], gateways: [] }) as unknown as NetworkTable;
const changesOf = (changes: Partial<AssignmentChanges>): AssignmentChanges =>
  ({ networks: [], networkPatches: [], removedNetworks: [], ...changes }) as AssignmentChanges;
const peer = (id: string, number: number, address = `10.0.0.${number}`): AssignmentChanges =>
  changesOf({
    networkPatches: [
      {
        networkId: id as NetworkId,
        revision: number as NetworkPatch['revision'],
        endpoints: [],
        removedEndpoints: [],
        peers: [{ nodeId: `n${number % 3}` as NetworkPatch['peers'][number]['nodeId'], address }],
        removedPeers: [],
        gateways: [],
        removedGateways: [],
      },
    ],
  });

test('what was kept is read again, by another journal too', () => {
  const journal = new TableJournal(directory);
  expect(journal.read()).toEqual([]);
  let tables: ReadonlyMap<NetworkId, NetworkTable> = new Map();
  const steps = [
    changesOf({ networks: [tableOf('a'), tableOf('b')] }),
    peer('a', 1),
    peer('b', 2),
    changesOf({ removedNetworks: ['a' as NetworkId], networks: [tableOf('c')] }),
    peer('c', 4),
  ];
  for (const changes of steps) {
    tables = nextTables(tables, changes);
    journal.keep(tables, changes);
    expect(new TableJournal(directory).read()).toEqual([...tables.values()]);
  }
  expect(statSync(path()).mode & 0o777).toBe(0o600);
  // An agent that starts again does not know where it had come to.
  new TableJournal(directory).keep(new Map());
  expect(journal.read()).toEqual([]);
});

test('a line that a crash cut off is as if it had not come, and what follows is whole', () => {
  const before = nextTables(new Map(), changesOf({ networks: [tableOf('a')] }));
  new TableJournal(directory).keep(before);
  appendFileSync(path(), '{"networks":[{"netw');
  const journal = new TableJournal(directory);
  expect(journal.read()).toEqual([...before.values()]);
  const after = nextTables(before, peer('a', 1));
  journal.keep(after, peer('a', 1));
  expect(journal.read()).toEqual([...after.values()]);
});

test('changes are added, and written as a whole when they take more than the tables', () => {
  const journal = new TableJournal(directory);
  let tables = nextTables(new Map(), changesOf({ networks: [tableOf('a')] }));
  journal.keep(tables);
  const sizes: number[] = [];
  for (let number = 1; number <= 300; number++) {
    const changes = peer('a', number, 'x'.repeat(1000));
    tables = nextTables(tables, changes);
    journal.keep(tables, changes);
    sizes.push(readFileSync(path()).length);
  }
  expect(sizes[1]).toBeGreaterThan(sizes[0] ?? 0);
  expect(Math.max(...sizes)).toBeLessThan(100_000);
  expect(new TableJournal(directory).read()).toEqual([...tables.values()]);
});
