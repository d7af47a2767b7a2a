import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { importImage, loadImages } from './load.ts';
import { saveImages } from './save.ts';
import { ImageStore } from './store.ts';
import { readTar } from './tar.ts';
import { tarEnd, tarMember } from './tar-write.ts';

let directory = '';
let store: ImageStore;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'images-'));
  store = await ImageStore.open(directory);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const nobody = { usedBy: (): undefined => undefined };

const rootfs = (text: string): Readable =>
  Readable.from([tarMember({ path: 'etc/motd', type: 'file' }, Buffer.from(text)), tarEnd()]);

async function collected(source: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of source) parts.push(part);
  return Buffer.concat(parts);
}

test('an imported image has names, a layer and survives a restart', async () => {
  const image = await importImage(store, rootfs('hello'), {
    name: 'app:1',
    process: { Cmd: ['/bin/x'], Env: ['A=1'] },
  });
  await store.tag('app:1', 'localhost:5000/app:2');
  const again = await ImageStore.open(directory);
  expect(again.get('app:1')).toMatchObject({
    id: image.id,
    size: 5,
    repoTags: ['app:1', 'localhost:5000/app:2'],
    config: { config: { Cmd: ['/bin/x'] } },
  });
  expect(again.get(image.id.slice(7, 19)).id).toBe(image.id);
  expect(() => again.get('other')).toThrow('No such image: other:latest');
  const snapshot = await again.prepareSnapshot('c1', image.id);
  expect(await readFile(join(snapshot.lowerDirs[0] ?? '', 'etc/motd'), 'utf8')).toBe('hello');
});

test('save and load, gzip included, give the same image', async () => {
  const image = await importImage(store, rootfs('one'), { name: 'app:1' });
  const archive = await collected(saveImages(store, ['app:1']));
  const elsewhere = await ImageStore.open(join(directory, 'other'));
  const said: unknown[] = [];
  const [loaded] = await loadImages(elsewhere, Readable.from([gzipSync(archive)]), (progress) =>
    said.push(progress),
  );
  expect(loaded?.id).toBe(image.id);
  expect(loaded?.repoTags).toEqual(['app:1']);
  expect(said).toEqual([{ stream: 'Loaded image: app:1\n' }]);
});

test('an OCI layout without manifest.json loads too', async () => {
  const image = await importImage(store, rootfs('one'), { name: 'app:1' });
  const members: Buffer[] = [];
  for await (const entry of readTar(saveImages(store, ['app:1']))) {
    const content = await collected(entry.body());
    if (entry.path !== 'manifest.json') members.push(tarMember(entry, content));
  }
  const elsewhere = await ImageStore.open(join(directory, 'other'));
  const [loaded] = await loadImages(elsewhere, Readable.from([...members, tarEnd()]));
  expect(loaded).toMatchObject({ id: image.id, repoTags: ['app:1'] });
});

test('the last name takes the image with it, and its layers when nobody shares them', async () => {
  const image = await importImage(store, rootfs('one'), { name: 'app:1' });
  await store.tag('app:1', 'app:2');
  await expect(store.remove(image.id, nobody)).rejects.toThrow('must be forced');
  expect(await store.remove('app:1', nobody)).toEqual([{ Untagged: 'app:1' }]);
  await expect(
    store.remove('app:2', { usedBy: () => ({ id: 'c'.repeat(64), running: true }) }),
  ).rejects.toThrow(
    `unable to remove repository reference "app:2" (must force) - container ${'c'.repeat(12)} is using its referenced image ${image.id.slice(7, 19)}`,
  );
  expect(await store.remove('app:2', nobody)).toEqual([
    { Untagged: 'app:2' },
    { Deleted: image.id },
  ]);
  expect(await readdir(join(directory, 'layers'))).toEqual([]);
  expect(await readdir(join(directory, 'content/blobs/sha256'))).toEqual([]);
});

test('a layer that is not what the config says leaves nothing behind', async () => {
  const image = await importImage(store, rootfs('one'), { name: 'app:1' });
  const members: Buffer[] = [];
  for await (const entry of readTar(saveImages(store, ['app:1']))) {
    const content = await collected(entry.body());
    if (entry.path === 'index.json') continue;
    // the layer is the biggest blob; change its content but not its name
    const changed = content.length > 2000 ? await collected(rootfs('two')) : content;
    members.push(tarMember(entry, changed));
  }
  const elsewhere = await ImageStore.open(join(directory, 'other'));
  await expect(loadImages(elsewhere, Readable.from([...members, tarEnd()]))).rejects.toThrow(
    'layer verification failed',
  );
  expect(elsewhere.list()).toEqual([]);
  expect(await readdir(join(directory, 'other/layers'))).toEqual([]);
  expect(await readdir(join(directory, 'other/layers-tmp'))).toEqual([]);
  expect(store.get('app:1').id).toBe(image.id);
});

test('what a crash left half made is removed at start', async () => {
  await writeFile(join(directory, 'content/ingest/half'), 'x');
  await writeFile(join(directory, 'layers-tmp/half'), 'x');
  await ImageStore.open(directory);
  expect(await readdir(join(directory, 'content/ingest'))).toEqual([]);
  expect(await readdir(join(directory, 'layers-tmp'))).toEqual([]);
});

test('an image can be removed from a full disk', async () => {
  const disk = join(directory, 'disk');
  mkdirSync(disk);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk]);
  try {
    const full = await ImageStore.open(disk);
    for (const name of ['kept:1', 'goes:1']) {
      await importImage(full, rootfs(name.repeat(20_000)), { name });
    }
    expect(() => writeFileSync(join(disk, 'filler'), Buffer.alloc(8 << 20))).toThrow('ENOSPC');
    for (const name of ['other:1', 'goes:1'])
      await expect(full.tag('kept:1', name)).rejects.toThrow('ENOSPC');
    expect(full.list().flatMap(({ repoTags }) => repoTags)).toEqual(['kept:1', 'goes:1']);
    await full.remove('goes:1', nobody);
    const again = await ImageStore.open(disk);
    expect(again.list().map(({ repoTags }) => repoTags[0])).toEqual(['kept:1']);
  } finally {
    execFileSync('umount', [disk]);
  }
});
