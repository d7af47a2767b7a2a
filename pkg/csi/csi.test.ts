import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TestDriver } from '../../test/storage/test-driver.ts';
import { silentLogger, systemClock, type Timer } from '../io/index.ts';
import type { NodeDriver, VolumeSpec } from '../model/index.ts';
import { createVolume, deleteVolume, probe, publishVolume, unpublishVolume } from './controller.ts';
import { DriverError } from './driver.ts';
import { Drivers, followDrivers } from './drivers.ts';
import { bringVolume, describeNode, takeVolumeAway } from './node.ts';

let folder: string;
let storage: TestDriver;
let drivers: Drivers;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'muster-csi-'));
  storage = new TestDriver(folder, { mounts: false });
  drivers = new Drivers(folder);
});

afterEach(() => {
  drivers.close();
  storage.close();
  rmSync(folder, { recursive: true, force: true });
});

const socket = (name: string): string => join(folder, `${name}.sock`);

function spec(more: Partial<VolumeSpec> = {}): VolumeSpec {
  return {
    Name: 'data',
    Driver: 'disk',
    ClusterVolumeSpec: {
      AccessMode: { Scope: 'single', Sharing: 'none', MountVolume: {} },
      CapacityRange: { RequiredBytes: 4096 },
      AccessibilityRequirements: { Requisite: [{ Segments: { zone: 'a' } }] },
    },
    ...more,
  };
}

test('a volume goes its way: made, published, brought, taken away, unpublished, deleted; each call may be repeated', async () => {
  await storage.serve(socket('disk'), { nodeId: 'n1' });
  const driver = drivers.get('disk');
  const secrets = { token: 'hidden' };
  const again = async <T>(work: () => Promise<T>): Promise<T> => {
    await work();
    return await work();
  };
  const info = await again(() => createVolume(driver, { spec: spec(), secrets }));
  expect(info).toEqual({
    handle: 'vol-data',
    capacityBytes: 4096,
    context: { made: 'by test' },
    topology: [{ zone: 'a' }],
  });
  expect(storage.secrets).toEqual([secrets, secrets]);
  const made = { spec: spec(), info, secrets };
  const publishContext = await again(() => publishVolume(driver, made, 'n1'));
  expect(publishContext).toEqual({ device: 'vol-data' });
  const staging = join(folder, 'staging');
  const paths = { staging, target: join(folder, 'target') };
  const volume = {
    spec: spec(),
    handle: info.handle,
    context: info.context,
    publishContext,
    secrets,
  };
  await expect(bringVolume(driver, volume, paths)).rejects.toThrow('staging path');
  storage.violations.length = 0;
  mkdirSync(staging);
  await again(() => bringVolume(driver, volume, paths));
  await again(() => takeVolumeAway(driver, info.handle, paths));
  await again(() => unpublishVolume(driver, made, 'n1'));
  await again(() => deleteVolume(driver, made));
  expect(storage.calls.map((call) => call.split(' ')[0])).toEqual([
    'CreateVolume',
    'ControllerPublishVolume',
    'NodeStageVolume',
    'NodePublishVolume',
    'NodeUnpublishVolume',
    'NodeUnstageVolume',
    'ControllerUnpublishVolume',
    'DeleteVolume',
  ]);
  expect(storage.violations).toEqual([]);
});

test('errors name driver, call and reason, and say whether anything may have been done', async () => {
  const absent = drivers.get('absent');
  await expect(probe(absent)).rejects.toThrow(
    `CSI driver absent is not on this host: there is no socket ${socket('absent')}`,
  );
  await storage.serve(socket('disk'), { nodeId: 'n1' });
  const driver = drivers.get('disk');
  const asked = { spec: spec({ DriverOpts: { refuse: 'no room left' } }), secrets: {} };
  const refused = await createVolume(driver, asked).catch((error: unknown) => error);
  expect(refused).toMatchObject({
    message: 'CSI driver disk: CreateVolume: no room left (INVALID_ARGUMENT)',
    nothingDone: true,
  });
  storage.failNext('CreateVolume', 1);
  const failed = await createVolume(driver, { spec: spec(), secrets: {} }).catch(
    (error: unknown) => error,
  );
  expect(failed instanceof DriverError && failed.nothingDone).toBe(false);
});

test('a host describes the drivers that answer, and says so when one comes, goes or comes back', async () => {
  const abort = new AbortController();
  const seen: (readonly NodeDriver[])[] = [];
  let changed = (): void => undefined;
  const next = async (): Promise<readonly NodeDriver[]> => {
    await new Promise<void>((resolve) => {
      changed = resolve;
    });
    return seen.at(-1) ?? [];
  };
  const here = { nodeId: 'n1', topology: { zone: 'a' }, volumesMax: 3 };
  const server = await storage.serve(socket('disk'), here);
  expect(await describeNode(drivers.get('disk'))).toEqual({ name: 'disk', ...here });
  // Every look follows the last one at once.
  const clock = {
    ...systemClock,
    after: (_ms: number, action: () => void): Timer => systemClock.after(5, action),
  };
  const following = followDrivers({
    drivers,
    clock,
    log: silentLogger,
    signal: abort.signal,
    onChange: (present): void => {
      seen.push(present);
      changed();
    },
  });
  expect(await next()).toEqual([{ name: 'disk', ...here }]);
  server.forceShutdown();
  expect(await next()).toEqual([]);
  await storage.serve(socket('disk'), here);
  expect(await next()).toEqual([{ name: 'disk', ...here }]);
  abort.abort();
  await following;
});
