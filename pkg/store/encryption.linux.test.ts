import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LogKeys } from './log-keys.ts';
import { names, TestCluster, until, write } from './testing/cluster.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'muster-keys-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

const tuning = { snapshotEntries: 30, trailingEntries: 5, segmentBytes: 16 * 1024 };
const MARK = 'must-not-be-seen';

function keysOf(raftId: number): LogKeys {
  return LogKeys.open(join(folder, `${raftId}.json`), { begin: true });
}

test('log and snapshots are encrypted with a key of each manager, and still go from one to another', async () => {
  await using cluster = new TestCluster(tuning, (raftId) => keysOf(raftId).codec);
  const first = await cluster.start(1, { kind: 'bootstrap' });
  await until(() => first.store.isLeader());
  for (let at = 0; at < 90; at++) await write(first.store, `c${at}`, MARK.repeat(40));
  // By now the log no longer reaches back to the beginning, so the second one needs a snapshot.
  const second = await cluster.join(2);
  await until(() => names(second.store).length === 90);
  for (const { directory } of [first, second]) {
    const snapshots = readdirSync(join(directory, 'snap'));
    expect(snapshots.length).toBeGreaterThan(0);
    for (const part of ['wal', 'snap']) {
      for (const file of readdirSync(join(directory, part)))
        expect(readFileSync(join(directory, part, file)).includes(MARK)).toBe(false);
    }
  }
  await cluster.kill(2);
  await cluster.kill(1);
  const again = await Promise.all([cluster.restart(1), cluster.restart(2)]);
  await until(() => again.some(({ store }) => store.isLeader()));
  for (const { store } of again) expect((await store.barrier()).count('config')).toBe(90);
});

test('with another key the log is refused', async () => {
  let generation = 0;
  await using cluster = new TestCluster(
    tuning,
    () => LogKeys.open(join(folder, `${generation}.json`), { begin: true }).codec,
  );
  const first = await cluster.start(1, { kind: 'bootstrap' });
  await until(() => first.store.isLeader());
  await cluster.kill(1);
  generation = 1;
  await expect(cluster.restart(1)).rejects.toMatchObject({ code: 'ERR_LOG_DAMAGED' });
});
