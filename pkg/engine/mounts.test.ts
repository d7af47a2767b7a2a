import { expect, test } from 'vitest';
import type { HostConfig } from './docker-shape.ts';
import { type MountEnvironment, resolveMounts } from './mounts.ts';

const made: string[] = [];
const environment: MountEnvironment = {
  exists: async (path) => path.startsWith('/exists'),
  makeDirectory: async (path) => {
    made.push(path);
  },
  ensureVolume: async ({ name }) => ({ name: name ?? 'generated', anonymous: name === undefined }),
  mountsOf: () => [
    {
      type: 'volume',
      volume: 'shared',
      target: '/shared',
      readOnly: false,
      anonymous: false,
      noCopy: false,
      mode: '',
    },
  ],
};
const resolve = (
  hostConfig: HostConfig,
  volumes: readonly string[] = [],
): ReturnType<typeof resolveMounts> => resolveMounts(hostConfig, volumes, environment);

test('every way to ask gives one list, parents first', async () => {
  const mounts = await resolve(
    {
      Binds: ['/exists/a:/b/c:ro,rslave', 'named:/b', '/anonymous'],
      Mounts: [{ Type: 'tmpfs', Target: '/t', TmpfsOptions: { SizeBytes: 4096 } }],
      Tmpfs: { '/run': 'size=1m' },
      VolumesFrom: ['other:ro'],
    },
    ['/image', '/b'],
  );
  expect(mounts).toMatchObject([
    { type: 'volume', volume: 'generated', target: '/anonymous', anonymous: true },
    { type: 'volume', volume: 'named', target: '/b', anonymous: false },
    { type: 'bind', source: '/exists/a', target: '/b/c', readOnly: true, propagation: 'rslave' },
    { type: 'volume', volume: 'generated', target: '/image', anonymous: true },
    { type: 'tmpfs', target: '/run', options: 'size=1m' },
    { type: 'volume', volume: 'shared', target: '/shared', readOnly: true },
    { type: 'tmpfs', target: '/t', sizeBytes: 4096 },
  ]);
});

test('-v makes what is missing, --mount does not', async () => {
  await resolve({ Binds: ['/missing:/x'] });
  expect(made).toEqual(['/missing']);
  await expect(
    resolve({ Mounts: [{ Type: 'bind', Source: '/missing', Target: '/x' }] }),
  ).rejects.toThrow(
    'invalid mount config for type "bind": bind source path does not exist: /missing',
  );
});

test.each<[HostConfig, string]>([
  [{ Binds: ['a:b:c:d'] }, "invalid volume specification: 'a:b:c:d'"],
  [{ Binds: ['a:/x:never'] }, 'invalid mode: never'],
  [{ Binds: ['a:/x', 'b:/x'] }, 'Duplicate mount point: /x'],
  [{ Binds: ['a:x'] }, "invalid mount path: 'x' mount path must be absolute"],
  [{ Binds: ['/exists:/'] }, "destination can't be '/'"],
  [{ Mounts: [{ Type: 'volume' }] }, 'field Target must not be empty'],
  [{ Mounts: [{ Type: 'npipe', Target: '/x' }] }, 'mount type unknown: "npipe"'],
  [{ Mounts: [{ Type: 'bind', Target: '/x' }] }, 'field Source must not be empty'],
  [{ Binds: ['/exists:/x:shared'] }, 'shared mounts are refused'],
  [
    { Mounts: [{ Type: 'volume', Target: '/x', VolumeOptions: { Subpath: '../up' } }] },
    'invalid subpath: ../up',
  ],
])('refuses %j', async (hostConfig, message) => {
  await expect(resolve(hostConfig)).rejects.toThrow(message);
});
