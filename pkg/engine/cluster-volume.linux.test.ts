import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TestDriver } from '../../test/storage/test-driver.ts';
import { bringVolume, createVolume, Drivers, publishVolume, takeVolumeAway } from '../csi/index.ts';
import { silentLogger, systemClock } from '../io/index.ts';
import type { VolumeId, VolumeSpec } from '../model/index.ts';
import type { AssignmentChanges } from '../rpc/index.ts';
import { Volumes } from '../worker/index.ts';
import { TestHost } from './test-host.ts';

const ID = 'v1' as VolumeId;
const spec: VolumeSpec = {
  Name: 'data',
  Driver: 'disk',
  ClusterVolumeSpec: { AccessMode: { MountVolume: {} } },
};

let folder: string;
let storage: TestDriver;
let drivers: Drivers;
let host: TestHost;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'muster-csi-'));
  storage = new TestDriver(join(folder, 'storage'), { mounts: true });
  drivers = new Drivers(folder);
  await storage.serve(join(folder, 'disk.sock'), { nodeId: 'n1' });
  host = await TestHost.open();
});

afterAll(async () => {
  await host.close();
  drivers.close();
  storage.close();
  rmSync(folder, { recursive: true, force: true });
});

function open(): Volumes {
  const volumes = new Volumes({
    directory: join(folder, 'volumes'),
    drivers: {
      bring: (name, volume, paths): Promise<void> => bringVolume(drivers.get(name), volume, paths),
      takeAway: (name, handle, paths): Promise<void> =>
        takeVolumeAway(drivers.get(name), handle, paths),
    },
    clock: systemClock,
    log: silentLogger,
  });
  volumes.join({
    secrets: () => new Map(),
    isUsed: () => false,
    onArrival: () => undefined,
    report: () => undefined,
  });
  return volumes;
}

async function runTask(command: string, mount: string): Promise<void> {
  const { tasks } = host.engine;
  const Mounts = [{ Type: 'bind', Source: mount, Target: '/data' }];
  const task = host.task(command, { container: { Image: 'busybox', Mounts } });
  await tasks.createTask(task);
  await tasks.startTask(task.taskId);
  expect(await tasks.waitTask(task.taskId)).toMatchObject({ state: 'exited', exitCode: 0 });
  await tasks.removeTask(task.taskId);
}

const mounted = (): number =>
  readFileSync('/proc/self/mountinfo', 'utf8').split(join(folder, 'volumes')).length - 1;

test('tasks write to a volume that a driver mounted, also after the agent began anew; nothing is left of it', async () => {
  const driver = drivers.get('disk');
  const info = await createVolume(driver, { spec, secrets: {} });
  const publishContext = await publishVolume(driver, { spec, info, secrets: {} }, 'n1');
  const assigned = { id: ID, spec, ...info, publishContext, secrets: {}, leaving: false };
  const changes = { volumes: [assigned] } as Partial<AssignmentChanges> as AssignmentChanges;
  const first = open();
  first.assign(changes, true);
  await expect.poll(() => first.find(ID)).toBeDefined();
  expect(mounted()).toBe(2);
  await runTask('echo one > /data/file', first.find(ID)?.path ?? '');
  first.leave();
  const second = open();
  await expect.poll(() => second.find(ID)).toBeDefined();
  expect(mounted()).toBe(2);
  await runTask('echo two >> /data/file', second.find(ID)?.path ?? '');
  expect(readFileSync(join(storage.directory('data'), 'file'), 'utf8')).toBe('one\ntwo\n');
  second.assign({ volumes: [{ ...assigned, leaving: true }] } as never, false);
  await expect.poll(() => storage.calls.at(-1)).toBe('NodeUnstageVolume data n1');
  expect(mounted()).toBe(0);
  expect(storage.violations).toEqual([]);
  second.leave();
});

test('a block volume is a device of the container', async () => {
  const { tasks } = host.engine;
  const path = join(folder, 'zeroes');
  execFileSync('mknod', [path, 'c', '1', '5']);
  const task = host.task('test "$(head -c 3 /dev/disk | od -An -tx1)" = " 00 00 00"', {
    blockVolumes: [{ path, target: '/dev/disk', readOnly: true }],
  });
  await tasks.createTask(task);
  await tasks.startTask(task.taskId);
  expect(await tasks.waitTask(task.taskId)).toMatchObject({ exitCode: 0 });
  await tasks.removeTask(task.taskId);
});
