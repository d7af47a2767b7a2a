import { execFileSync } from 'node:child_process';
import {
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type TarMember, tarEnd, tarMember } from './tar-write.ts';
import { unpackLayer } from './unpack.ts';

let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'unpack-'));
  await mkdir(join(root, 'layer'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function* layer(...members: [TarMember, string?][]): AsyncGenerator<Buffer> {
  for (const [member, text] of members) yield tarMember(member, Buffer.from(text ?? ''));
  yield tarEnd();
}

test('owners, modes, times, links', async () => {
  const at = join(root, 'layer');
  await unpackLayer(
    layer(
      [{ path: './', type: 'directory', mode: 0o755 }],
      [{ path: 'd', type: 'directory', mode: 0o2750, uid: 5, gid: 6, mtime: 1000 }],
      [{ path: 'd/f', type: 'file', mode: 0o4755, uid: 5, gid: 6, mtime: 2000 }, 'body'],
      [{ path: 'h', type: 'hardlink', linkPath: 'd/f' }],
      [{ path: 's', type: 'symlink', linkPath: '/etc/passwd', uid: 9 }],
    ),
    at,
  );
  const file = await lstat(join(at, 'd/f'));
  expect([file.mode & 0o7777, file.uid, file.gid, file.mtimeMs, file.nlink]).toEqual([
    0o4755, 5, 6, 2_000_000, 2,
  ]);
  const directory = await lstat(join(at, 'd'));
  expect([directory.mode & 0o7777, directory.mtimeMs]).toEqual([0o2750, 1_000_000]);
  expect(await readFile(join(at, 'h'), 'utf8')).toBe('body');
  expect((await lstat(join(at, 's'))).uid).toBe(9);
});

test('whiteouts, opaque directories, devices and file capabilities, as overlayfs shows them', async () => {
  const low = join(root, 'low');
  await mkdir(join(low, 'opaque'), { recursive: true });
  await writeFile(join(low, 'gone'), '');
  await writeFile(join(low, 'opaque', 'hidden'), '');
  const at = join(root, 'layer');
  // VFS_CAP_REVISION_2, CAP_NET_BIND_SERVICE permitted (capabilities(7)).
  const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');
  await unpackLayer(
    layer(
      [{ path: '.wh.gone', type: 'file' }],
      [{ path: 'opaque/.wh..wh..opq', type: 'file' }],
      [{ path: 'opaque/new', type: 'file' }],
      [{ path: 'null', type: 'character', major: 1, minor: 3, mode: 0o666 }],
      [
        {
          path: 'cap',
          type: 'file',
          mode: 0o755,
          uid: 3,
          xattrs: new Map([['security.capability', capability]]),
        },
        'program',
      ],
      [{ path: 'cap2', type: 'hardlink', linkPath: 'cap' }],
    ),
    at,
  );
  const merged = join(root, 'merged');
  await mkdir(merged);
  execFileSync('mount', ['-t', 'overlay', 'o', '-o', `lowerdir=${at}:${low}`, merged]);
  try {
    expect((await readdir(merged)).sort()).toEqual(['cap', 'cap2', 'null', 'opaque']);
    expect(await readdir(join(merged, 'opaque'))).toEqual(['new']);
    expect((await lstat(join(merged, 'null'))).rdev).toBe(0x103);
    expect(await readFile(join(merged, 'cap'), 'utf8')).toBe('program');
    expect((await lstat(join(at, 'cap'))).nlink).toBe(2);
    const bytes = execFileSync('python3', [
      '-c',
      'import os,sys; print(os.getxattr(sys.argv[1], "security.capability").hex())',
      join(merged, 'cap'),
    ]);
    expect(bytes.toString().trim()).toBe(capability.toString('hex'));
  } finally {
    execFileSync('umount', [merged]);
  }
});

test('nothing is made outside the layer', async () => {
  const at = join(root, 'layer');
  await expect(unpackLayer(layer([{ path: '../evil', type: 'file' }, 'x']), at)).rejects.toThrow(
    'leaves its directory',
  );
  await unpackLayer(
    layer(
      [{ path: 'up', type: 'symlink', linkPath: '../../..' }],
      [{ path: 'up/evil', type: 'file' }, 'x'],
      [{ path: 'abs', type: 'symlink', linkPath: '/' }],
      [{ path: 'abs/evil2', type: 'file' }, 'x'],
      [{ path: 'etc', type: 'symlink', linkPath: '/etc' }],
      [{ path: 'etc', type: 'file' }, 'a file now'],
      [{ path: 'dev', type: 'symlink', linkPath: root }],
      [{ path: 'dev/node', type: 'character', major: 1, minor: 3 }],
    ),
    at,
  );
  expect(await readdir(root)).toEqual(['layer']);
  expect(await readlink(join(at, 'up'))).toBe('../../..');
  expect(await readFile(join(at, 'evil'), 'utf8')).toBe('x');
  expect(await readFile(join(at, 'evil2'), 'utf8')).toBe('x');
  expect((await lstat(join(at, 'etc'))).isFile()).toBe(true);
  expect((await lstat(join(at, root.slice(1), 'node'))).isCharacterDevice()).toBe(true);
});
