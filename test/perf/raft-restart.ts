/**
 * Time until a manager alone leads again on what is on its disk, against the time of merely reading these files (from the
 * page cache): after many entries, with a log of all of them, and with a large snapshot. `npx tsx --conditions=source test/perf/raft-restart.ts [--entries=1000000] [--mb=100] [--runs=3]`.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger, systemClock, systemRandom } from '../../pkg/io/index.ts';
import {
  type Change,
  type ClusterId,
  type Config,
  type ConfigId,
  createObject,
  type InstantMs,
  type NodeId,
  updateObject,
  VERSION_NONE,
} from '../../pkg/model/index.ts';
import { createStore, type Store } from '../../pkg/store/index.ts';
import { median, option, report, round } from './measure.ts';

type Options = Parameters<typeof createStore>[0];

const IN_FLIGHT = 1000;
const NEVER = Number.MAX_SAFE_INTEGER;
const MB = 1e6;
const entries = option('entries', 1_000_000);
const mb = option('mb', 100);
const runs = option('runs', 3);

/** Nobody else is in the group. */
const transport: Options['transport'] = {
  send: () => undefined,
  sendSnapshot: () => Promise.reject(new Error('there is nobody')),
  listen: () => ({ [Symbol.dispose]: (): void => undefined }),
};

async function started(directory: string, tuning: Options['tuning']): Promise<Store> {
  const store = createStore({
    directory,
    clusterId: 'c1' as ClusterId,
    self: { raftId: 1, nodeId: 'n1' as NodeId, address: 'm1:1' },
    begin: { kind: 'bootstrap' },
    transport,
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    onFatal: (error): void => {
      throw error;
    },
    tuning,
  });
  await store.start();
  while (!store.isLeader()) await new Promise((resolve) => setImmediate(resolve));
  return store;
}

function config(name: string, data: string): Config {
  return {
    id: `id-${name}` as ConfigId,
    version: VERSION_NONE,
    createdAt: 0 as InstantMs,
    updatedAt: 0 as InstantMs,
    spec: { Name: name, Data: data },
  } as Config;
}

/** Entries of 256 bytes that change a thousand objects again and again. */
async function manyEntries(store: Store): Promise<void> {
  const names = Array.from({ length: IN_FLIGHT }, (_, at) => `c${at}`);
  const data = 'x'.repeat(256);
  for (let done = 0; done < entries; done += IN_FLIGHT) {
    await Promise.all(
      names.map((name) => {
        const known = store.view.byName('config', name);
        const change: Change = known
          ? updateObject('config', known)
          : createObject('config', config(name, data));
        return store.propose([change]);
      }),
    );
  }
}

async function largeState(store: Store): Promise<void> {
  const data = 'x'.repeat(2000);
  const count = (mb * MB) / data.length;
  for (let at = 0; at < count; at += IN_FLIGHT) {
    const fresh = Array.from({ length: IN_FLIGHT }, (_, more) => config(`c${at + more}`, data));
    await store.propose(fresh.map((each) => createObject('config', each)));
  }
}

/** Milliseconds, and how much there was to read. */
function readAll(directory: string): { readonly ms: number; readonly bytes: number } {
  const begun = performance.now();
  let bytes = 0;
  for (const folder of ['wal', 'snap']) {
    for (const file of readdirSync(join(directory, folder))) {
      bytes += readFileSync(join(directory, folder, file)).length;
    }
  }
  return { ms: performance.now() - begun, bytes };
}

async function measure(
  name: string,
  tuning: Options['tuning'],
  fill: (store: Store) => Promise<void>,
): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'muster-perf-'));
  try {
    const first = await started(directory, tuning);
    await fill(first);
    await first.stop();
    const [starts, reads]: [number[], number[]] = [[], []];
    let bytes = 0;
    for (let run = 0; run < runs; run++) {
      const read = readAll(directory);
      bytes = read.bytes;
      reads.push(read.ms);
      const begun = performance.now();
      const store = await started(directory, tuning);
      starts.push(performance.now() - begun);
      await store.stop();
    }
    report(`restart with ${name}`, 'ms', starts, { fileMb: round(bytes / MB) });
    report(`restart with ${name} to reading its files`, 'ratio', [median(starts) / median(reads)]);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

await measure(`${entries} entries, snapshots as shipped`, undefined, manyEntries);
await measure(
  `${entries} entries and no snapshot`,
  { snapshotEntries: NEVER, snapshotBytes: NEVER },
  manyEntries,
);
await measure(`a snapshot of ${mb} MB`, undefined, largeState);
