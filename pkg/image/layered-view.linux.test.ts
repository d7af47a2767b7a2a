import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { digestOf } from './content.ts';
import { LayerStore } from './layers.ts';
import { type TarMember, tarEnd, tarMember } from './tar-write.ts';

let directory = '';
let layers: LayerStore;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'layers-'));
  layers = new LayerStore(directory);
  await layers.open();
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const file = (path: string): TarMember => ({ path, type: 'file' });

test('an image is seen as a mount would show it, without mounting it', async () => {
  const archives = [
    [file('gone'), file('kept'), file('opaque/hidden'), file('etc/passwd')],
    [
      file('.wh.gone'),
      file('opaque/.wh..wh..opq'),
      file('opaque/new'),
      { path: 'link', type: 'symlink', linkPath: '/etc' } as const,
      { path: 'loop', type: 'symlink', linkPath: 'loop' } as const,
      { path: 'up', type: 'symlink', linkPath: '../../../../etc/passwd' } as const,
    ],
  ].map((members) =>
    Buffer.concat([
      ...members.map((member) =>
        tarMember(member, Buffer.from(member.type === 'file' ? member.path : '')),
      ),
      tarEnd(),
    ]),
  );
  const diffIds = archives.map((archive) => digestOf(archive));
  let below: string | undefined;
  for (const [index, diffId] of diffIds.entries()) {
    const chainId: string = below === undefined ? diffId : digestOf(`${below} ${diffId}`);
    const bytes = archives[index] ?? Buffer.alloc(0);
    await layers.unpack({ chainId, diffId }, async function* () {
      yield bytes;
    });
    below = chainId;
  }
  const view = await layers.view(diffIds);
  const content = async (path: string): Promise<string | undefined> => {
    const found = await view.find(path);
    return found && readFile(found.path, 'utf8');
  };
  expect(await content('/kept')).toBe('kept');
  expect(await content('/gone')).toBeUndefined();
  expect(await content('/opaque/new')).toBe('opaque/new');
  expect(await content('/opaque/hidden')).toBeUndefined();
  expect(await content('/link/passwd')).toBe('etc/passwd');
  expect(await content('/up')).toBe('etc/passwd');
  expect(await content('/loop')).toBeUndefined();
  expect(await view.list('opaque')).toEqual(['new']);
  expect([...(await view.list(''))].sort()).toEqual([
    'etc',
    'kept',
    'link',
    'loop',
    'opaque',
    'up',
  ]);
});
