import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Manager, names, TestCluster, until, write } from './testing/cluster.ts';

const snapshotFiles = (manager: Manager): readonly string[] =>
  readdirSync(join(manager.directory, 'snap'))
    .filter((file) => file.endsWith('.snap'))
    .sort();

/** A manager that has taken two snapshots and written on, killed. */
async function killedAfterSnapshots(cluster: TestCluster): Promise<Manager> {
  const manager = cluster.get(1);
  for (let at = 0; at < 90; at++) await write(manager.store, `c${at}`, 'x'.repeat(600));
  await until(() => snapshotFiles(manager).length === 2);
  await cluster.kill(1);
  return manager;
}

function damage(file: string): void {
  const content = readFileSync(file);
  const at = Math.floor(content.length / 2);
  content[at] = (content[at] ?? 0) ^ 0x10;
  writeFileSync(file, content);
}

const tuning = { snapshotEntries: 30, trailingEntries: 5, segmentBytes: 16 * 1024 };

test('a manager starts from its newest snapshot and the log behind it', async () => {
  await using cluster = await TestCluster.of(1, tuning);
  await killedAfterSnapshots(cluster);
  const again = await cluster.restart(1);
  await until(() => again.store.isLeader());
  expect(names(again.store)).toHaveLength(90);
});

test('a damaged snapshot is replaced by the one before and the longer log', async () => {
  await using cluster = await TestCluster.of(1, tuning);
  const manager = await killedAfterSnapshots(cluster);
  damage(join(manager.directory, 'snap', snapshotFiles(manager)[1] ?? ''));
  const again = await cluster.restart(1);
  await until(() => again.store.isLeader());
  expect(names(again.store)).toHaveLength(90);
});

test('without a sound snapshot, or without the log, a manager refuses to start', async () => {
  await using cluster = await TestCluster.of(1, tuning);
  const manager = await killedAfterSnapshots(cluster);
  for (const file of snapshotFiles(manager)) damage(join(manager.directory, 'snap', file));
  await expect(cluster.restart(1)).rejects.toThrow('is damaged');
  rmSync(join(manager.directory, 'wal'), { recursive: true });
  await expect(cluster.start(1, { kind: 'bootstrap' })).rejects.toThrow('the log is empty');
});

test('outcomes of requests survive in snapshots, so a late copy is still recognised', async () => {
  await using cluster = await TestCluster.of(3, tuning);
  const leader = await cluster.leader();
  const late = await cluster.follower();
  // Everything the leader sends to it is lost, so its own attempts seem to fail and are repeated.
  await write(late.store, 'before');
  cluster.network.filter = (from, to): boolean =>
    !(from === leader.member.raftId && to === late.member.raftId);
  const attempt = write(late.store, 'once');
  await until(() => names(leader.store).includes('once'));
  for (let at = 0; at < 80; at++) await write(leader.store, `c${at}`);
  cluster.network.filter = (): boolean => true;
  await attempt;
  await until(() => names(late.store).length === names(leader.store).length);
  expect(names(late.store)).toEqual(names(leader.store));
});

test('a large snapshot is repeated only when as much was logged since', async () => {
  await using cluster = await TestCluster.of(1, { snapshotEntries: 5 });
  const manager = cluster.get(1);
  const newest = (): string => snapshotFiles(manager).at(-1) ?? '';
  const bytes = (): number =>
    newest() === '' ? 0 : statSync(join(manager.directory, 'snap', newest())).size;
  const large = 'x'.repeat(1024 * 1024);
  let written = 0;
  while (bytes() <= 4 * 1024 * 1024) await write(manager.store, `large${written++}`, large);
  const before = newest();
  for (let at = 0; at < 30; at++) await write(manager.store, `small${at}`);
  expect(newest()).toBe(before);
  while (newest() === before) await write(manager.store, `large${written++}`, large);
  await manager.store.stop();
});
