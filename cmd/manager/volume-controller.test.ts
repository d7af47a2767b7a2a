import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Drivers } from '../../pkg/csi/index.ts';
import { silentLogger, systemClock, type Timer } from '../../pkg/io/index.ts';
import {
  type Change,
  ClusterError,
  createObject,
  DraftTables,
  type InstantMs,
  type NodeId,
  Tables,
  updateObject,
  VERSION_NONE,
  type Version,
  type Volume,
  type VolumeId,
} from '../../pkg/model/index.ts';
import type { Batch, Committed, Store } from '../../pkg/store/index.ts';
import { TestDriver } from '../../test/storage/test-driver.ts';
import { controlVolumes } from './volume-controller.ts';

const AT = 1 as InstantMs;

/** One manager's store in memory. */
class MemoryStore implements Pick<Store, 'view' | 'update' | 'watch' | 'onLeadership'> {
  readonly view = new Tables();
  readonly #watchers = new Set<(batch: Batch) => void>();
  readonly #leadership = new Set<(leading: boolean) => void>();
  #leads = true;

  async update<T>(work: (draft: DraftTables) => T): Promise<Committed<T>> {
    if (!this.#leads) throw new ClusterError('unavailable', 'another one leads');
    const draft = new DraftTables(this.view);
    const value = work(draft);
    this.write(draft.changes);
    return { value, index: this.view.index };
  }

  write(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    const index = (this.view.index + 1) as Version;
    const applied = this.view.apply(changes, index, AT);
    for (const tell of this.#watchers) tell({ index, now: AT, changes: applied, reset: false });
  }

  watch(listener: (batch: Batch) => void): Disposable {
    this.#watchers.add(listener);
    return { [Symbol.dispose]: (): void => void this.#watchers.delete(listener) };
  }

  onLeadership(listener: (leading: boolean) => void): Disposable {
    this.#leadership.add(listener);
    listener(this.#leads);
    return { [Symbol.dispose]: (): void => void this.#leadership.delete(listener) };
  }

  lead(leads: boolean): void {
    this.#leads = leads;
    for (const tell of this.#leadership) tell(leads);
  }
}

const ID = 'v1' as VolumeId;

let folder: string;
let storage: TestDriver;
let drivers: Drivers;
let store: MemoryStore;
let abort: AbortController;
let running: Promise<void>;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'muster-csi-'));
  storage = new TestDriver(folder, { mounts: false });
  drivers = new Drivers(folder);
  store = new MemoryStore();
  begin();
  await storage.serve(join(folder, 'disk.sock'), { nodeId: 'n1' });
});

afterEach(async () => {
  await end();
  drivers.close();
  storage.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A manager, with pauses that are over at once. */
function begin(): void {
  abort = new AbortController();
  const clock = {
    ...systemClock,
    after: (_ms: number, action: () => void): Timer => systemClock.after(1, action),
  };
  running = controlVolumes({ store, drivers, clock, log: silentLogger, signal: abort.signal });
}

async function end(): Promise<void> {
  abort.abort();
  await running;
}

function create(more: Partial<Volume> = {}, Driver = 'disk', refuse?: string): void {
  const volume: Volume = {
    id: ID,
    version: VERSION_NONE,
    createdAt: AT,
    updatedAt: AT,
    spec: {
      Name: 'data',
      Driver,
      ...(refuse && { DriverOpts: { refuse } }),
      ClusterVolumeSpec: { AccessMode: { MountVolume: {} } },
    },
    publications: [],
    ...more,
  };
  store.write([createObject('volume', volume)]);
}

function change(next: (volume: Volume) => Volume): void {
  const volume = store.view.get('volume', ID);
  if (!volume) throw new Error('no volume');
  store.write([updateObject('volume', next(volume))]);
}

/** Resolves when the stored volume is so; undefined: removed. */
function when(accepted: (volume: Volume | undefined) => boolean): Promise<Volume | undefined> {
  return new Promise((resolve) => {
    const look = (): boolean => accepted(store.view.get('volume', ID));
    if (look()) {
      resolve(store.view.get('volume', ID));
      return;
    }
    const watch = store.watch(() => {
      if (!look()) return;
      watch[Symbol.dispose]();
      resolve(store.view.get('volume', ID));
    });
  });
}

const gone = (volume: Volume | undefined): boolean => volume === undefined;

test('a volume is made, tried again after a failure that can be read meanwhile, and deleted', async () => {
  storage.failNext('CreateVolume', 2);
  create();
  const failed = await when((volume) => volume?.error !== undefined);
  expect(failed?.error).toBe('CSI driver disk: CreateVolume: the storage is away (INTERNAL)');
  const made = await when((volume) => volume?.info !== undefined);
  expect(made).toMatchObject({ info: { handle: 'vol-data' } });
  expect([made?.error, made?.creating]).toEqual([undefined, undefined]);
  change((volume) => ({ ...volume, removing: true }));
  await when(gone);
  expect(storage.calls).toEqual(['CreateVolume data', 'DeleteVolume data']);
});

test('one that no driver was asked for, or that was refused, is removed without a driver', async () => {
  create({}, 'absent');
  const waiting = await when((volume) => volume?.error !== undefined);
  expect(waiting?.error).toContain('CSI driver absent is not on this host');
  expect(waiting?.creating).toBeUndefined();
  change((volume) => ({ ...volume, removing: true }));
  await when(gone);
  create({}, 'disk', 'never');
  await when((volume) => volume?.error !== undefined && volume.creating === undefined);
  change((volume) => ({ ...volume, removing: true }));
  await when(gone);
  expect(storage.calls).toEqual([]);
});

test('what was made while its manager died is found by the next one and deleted', async () => {
  const release = storage.hold('CreateVolume');
  create();
  await when((volume) => volume?.creating === true);
  store.lead(false);
  release();
  await expect.poll(() => storage.calls).toEqual(['CreateVolume data']);
  await end();
  store.lead(true);
  change((volume) => ({ ...volume, removing: true }));
  begin();
  await when(gone);
  expect(storage.calls).toEqual(['CreateVolume data', 'DeleteVolume data']);
});

test('it leaves nodes before it comes to others; a publication that is given up meanwhile is undone', async () => {
  create();
  await when((volume) => volume?.info !== undefined);
  const at = (name: string): { nodeId: NodeId; driverNodeId: string } => ({
    nodeId: name as NodeId,
    driverNodeId: name,
  });
  change((volume) => ({ ...volume, publications: [{ ...at('n1'), state: 'pending-publish' }] }));
  const published = await when((volume) => volume?.publications[0]?.state === 'published');
  expect(published?.publications[0]?.context).toEqual({ device: 'vol-data' });
  change((volume) => ({
    ...volume,
    publications: [
      { ...at('n2'), state: 'pending-publish' },
      { ...at('n1'), state: 'pending-controller-unpublish' },
    ],
  }));
  await when((volume) => volume?.publications[0]?.state === 'published');
  expect(storage.calls.slice(1)).toEqual([
    'ControllerPublishVolume data n1',
    'ControllerUnpublishVolume data n1',
    'ControllerPublishVolume data n2',
  ]);
  expect(store.view.get('volume', ID)?.publications).toHaveLength(1);
  const release = storage.hold('ControllerUnpublishVolume');
  change((volume) => ({
    ...volume,
    publications: [{ ...at('n2'), state: 'pending-controller-unpublish' }],
  }));
  release();
  await when((volume) => volume?.publications.length === 0);
  expect(storage.violations).toEqual([]);
});
