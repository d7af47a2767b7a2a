import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { NodeVolume, VolumePaths } from '../csi/index.ts';
import { silentLogger, systemClock, type Timer } from '../io/index.ts';
import type { VolumeId } from '../model/index.ts';
import type { AssignmentChanges, VolumeAssignment, VolumeStatusReport } from '../rpc/index.ts';
import { Volumes, type VolumesLink } from './volumes.ts';

const ID = 'v1' as VolumeId;
const NOTHING: AssignmentChanges = {
  tasks: [],
  removedTasks: [],
  secrets: [],
  removedSecrets: [],
  configs: [],
  removedConfigs: [],
  networks: [],
  networkPatches: [],
  removedNetworks: [],
};

/** What drivers were asked, and what they make of it. */
class FakeDrivers {
  readonly calls: string[] = [];
  readonly secrets: unknown[] = [];
  failure: string | undefined;

  async bring(driver: string, volume: NodeVolume, { target }: VolumePaths): Promise<void> {
    this.#fail();
    mkdirSync(target, { recursive: true });
    this.secrets.push(volume.secrets);
    this.calls.push(`bring ${driver} ${volume.handle} ${volume.publishContext['device']}`);
  }

  async takeAway(driver: string, handle: string, { target }: VolumePaths): Promise<void> {
    this.#fail();
    rmSync(target, { recursive: true, force: true });
    this.calls.push(`takeAway ${driver} ${handle}`);
  }

  #fail(): void {
    if (this.failure !== undefined) throw new Error(this.failure);
  }
}

class Host {
  readonly directory = mkdtempSync(join(tmpdir(), 'muster-volumes-'));
  readonly drivers = new FakeDrivers();
  readonly reports: VolumeStatusReport[] = [];
  readonly secrets = new Map<string, Uint8Array>();
  isUsed = false;
  volumes = this.#open();

  /** The agent ends and starts again. */
  restart(): void {
    this.volumes.leave();
    this.volumes = this.#open();
    this.join();
  }

  join(): void {
    const link: VolumesLink = {
      secrets: () => this.secrets,
      isUsed: () => this.isUsed,
      onArrival: () => undefined,
      report: (statuses) => void this.reports.push(...statuses),
    };
    this.volumes.join(link);
  }

  assign(volumes: readonly VolumeAssignment[], complete = false): void {
    this.volumes.assign({ ...NOTHING, volumes }, complete);
  }

  /** Every pause is over at once. */
  #open(): Volumes {
    const { directory, drivers } = this;
    const after = (_ms: number, action: () => void): Timer => systemClock.after(1, action);
    const clock = { ...systemClock, after };
    return new Volumes({ directory, drivers, clock, log: silentLogger });
  }
}

function assigned(more: Partial<VolumeAssignment> = {}): VolumeAssignment {
  return {
    id: ID,
    spec: { Name: 'data', Driver: 'disk', ClusterVolumeSpec: { AccessMode: { MountVolume: {} } } },
    handle: 'h1',
    context: {},
    publishContext: { device: 'sdb' },
    secrets: {},
    leaving: false,
    ...more,
  };
}

let host: Host;
beforeEach(() => {
  host = new Host();
  host.join();
});
afterEach(() => {
  host.volumes.leave();
  rmSync(host.directory, { recursive: true, force: true });
});

const calls = (...expected: readonly string[]): Promise<void> =>
  expect.poll(() => host.drivers.calls).toEqual(expected);

test('a volume is brought when it is assigned and its secrets are here, and taken away when no task uses it', async () => {
  host.assign([assigned({ secrets: { token: 's1' } })], true);
  expect(host.volumes.find(ID)).toBeUndefined();
  host.secrets.set('s1', Buffer.from('hidden'));
  host.volumes.look();
  await calls('bring disk h1 sdb');
  expect(host.drivers.secrets).toEqual([{ token: 'hidden' }]);
  const path = join(host.directory, ID, 'mount');
  await expect.poll(() => host.volumes.find(ID)).toEqual({ path, isBlock: false });
  host.isUsed = true;
  host.assign([assigned({ leaving: true })]);
  expect(host.volumes.find(ID)).toBeDefined();
  host.isUsed = false;
  host.volumes.look();
  await calls('bring disk h1 sdb', 'takeAway disk h1');
  await expect.poll(() => host.reports).toContainEqual({ volumeId: ID, gone: true });
  expect(existsSync(join(host.directory, ID))).toBe(false);
});

test('that a volume is gone is said again until the assignments show that it was heard', async () => {
  host.assign([assigned({ leaving: true })], true);
  await expect.poll(() => host.reports.length).toBeGreaterThan(2);
  host.volumes.assign({ ...NOTHING, removedVolumes: [ID] }, false);
  const heard = host.reports.length;
  host.assign([assigned()]);
  await calls('bring disk h1 sdb');
  expect(host.reports.length).toBe(heard);
});

test('an agent that starts again asks for what was here, and takes away what left meanwhile', async () => {
  host.assign([assigned()], true);
  await calls('bring disk h1 sdb');
  host.restart();
  await calls('bring disk h1 sdb', 'bring disk h1 sdb');
  await expect.poll(() => host.volumes.find(ID)).toBeDefined();
  host.assign([], true);
  await calls('bring disk h1 sdb', 'bring disk h1 sdb', 'takeAway disk h1');
  host.restart();
  host.assign([assigned({ leaving: true })], true);
  await expect.poll(() => host.reports).toContainEqual({ volumeId: ID, gone: true });
  expect(host.drivers.calls).toHaveLength(3);
});

test('what a driver refuses is reported once, tried again, and taken back when it works', async () => {
  host.drivers.failure = 'no such device';
  host.assign([assigned()], true);
  const error = { volumeId: ID, gone: false, error: 'no such device' };
  await expect.poll(() => host.reports).toEqual([error]);
  host.drivers.failure = undefined;
  await expect.poll(() => host.reports).toEqual([error, { volumeId: ID, gone: false }]);
  expect(host.volumes.find(ID)).toBeDefined();
});

test('a host that leaves the cluster takes all of them away', async () => {
  host.assign([assigned()], true);
  await calls('bring disk h1 sdb');
  host.volumes.leave();
  await host.volumes.removeEverything();
  host.restart();
  await calls('bring disk h1 sdb', 'takeAway disk h1');
  expect(existsSync(join(host.directory, ID))).toBe(false);
});

test('a message without volumes writes nothing', () => {
  host.volumes.assign(NOTHING, true);
  host.volumes.assign(NOTHING, false);
  expect(existsSync(join(host.directory, 'volumes.json'))).toBe(false);
});

test('a volume is not brought in before it is on disk, and taken away all the same', async () => {
  const blocked = join(host.directory, 'volumes.json.tmp');
  mkdirSync(blocked);
  host.assign([assigned()], true);
  await new Promise((resolve) => systemClock.after(20, () => resolve(undefined)));
  expect(host.drivers.calls).toEqual([]);
  rmSync(blocked, { recursive: true });
  await calls('bring disk h1 sdb');
  mkdirSync(blocked);
  host.assign([assigned({ leaving: true })]);
  await calls('bring disk h1 sdb', 'takeAway disk h1');
});
