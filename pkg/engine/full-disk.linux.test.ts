import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { fillDisk } from '../../test/storage/fill-disk.ts';
import { TestHost } from './test-host.ts';

const DISK_BYTES = 24 << 20;

let host: TestHost;
let disk: string;

beforeEach(async () => {
  host = await TestHost.open();
  // Containers and their records alone: images are not what this is about.
  disk = join(host.dir, 'disk');
  mkdirSync(disk);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', disk]);
  mkdirSync(join(disk, 'containers'));
  execFileSync('mount', ['--bind', join(disk, 'containers'), containers()]);
});

afterEach(async () => {
  rmSync(filler(), { force: true });
  for (const { Id } of await host.engine.containers.list({ all: true, size: false })) {
    await host.engine.containers.remove(String(Id), { force: true, volumes: true });
  }
  execFileSync('umount', [containers()]);
  execFileSync('umount', [disk]);
  await host.close();
});

const containers = (): string => join(host.dir, 'data/containers');
const filler = (): string => join(disk, 'filler');

const recordOf = (id: string): { readonly state: { readonly status: string } } =>
  JSON.parse(readFileSync(join(containers(), id, 'config.json'), 'utf8'));

test('on a full disk containers end and go, new ones are refused, and the rest is written when there is room', async () => {
  const { engine } = host;
  const ends = await host.start('read line; exit 3', { OpenStdin: true });
  const goes = await host.start('sleep 1000');
  const stays = await host.start('sleep 1000');
  fillDisk(filler());
  await engine.containers.kill(ends, 'SIGKILL');
  expect((await host.wait(ends)).exitCode).toBe(137);
  await expect(host.start('true')).rejects.toThrow('ENOSPC: no space left on device');
  await engine.containers.remove(goes, { force: true, volumes: true });
  expect(readdirSync(containers())).not.toContain(goes);
  fillDisk(filler());
  const again = await host.restart();
  expect(await again.containers.inspect(stays, { size: false })).toMatchObject({
    State: { Status: 'running' },
  });
  expect(await again.containers.inspect(ends, { size: false })).toMatchObject({
    State: { Status: 'exited' },
  });
  rmSync(filler());
  await expect.poll(() => recordOf(ends).state.status, { timeout: 10_000 }).toBe('exited');
});
