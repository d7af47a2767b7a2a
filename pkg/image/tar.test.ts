import { expect, test } from 'vitest';
import { readTar } from './tar.ts';
import { type TarMember, tarEnd, tarMember } from './tar-write.ts';

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

test('what is written is read back, whatever the pieces it arrives in', async () => {
  const long = `${'d/'.repeat(80)}file`;
  const members: [TarMember, string][] = [
    [{ path: 'dir', type: 'directory', mode: 0o1755, uid: 7, gid: 8 }, ''],
    [{ path: 'dir/a', type: 'file', mode: 0o4711, mtime: 12345 }, 'hello'],
    [{ path: long, type: 'file', uid: 3_000_000 }, 'x'.repeat(1000)],
    [{ path: 'l', type: 'symlink', linkPath: `/${long}` }, ''],
    [{ path: 'h', type: 'hardlink', linkPath: 'dir/a' }, ''],
    [{ path: 'null', type: 'character', major: 1, minor: 3 }, ''],
    [
      {
        path: 'cap',
        type: 'file',
        xattrs: new Map([['security.capability', Buffer.from([1, 0, 10, 61, 255])]]),
      },
      'c',
    ],
  ];
  const archive = Buffer.concat([
    ...members.map(([member, text]) => tarMember(member, Buffer.from(text))),
    tarEnd(),
  ]);
  for (const size of [1, 511, 512, 10_000]) {
    let index = 0;
    for await (const entry of readTar(pieces(archive, size))) {
      const [member, text] = members[index] ?? [];
      expect(entry).toMatchObject({ linkPath: '', mtime: 0, uid: 0, ...member });
      if (index % 2 === 0) {
        const parts: Buffer[] = [];
        for await (const part of entry.body()) parts.push(part);
        expect(Buffer.concat(parts).toString()).toBe(text);
      }
      index += 1;
    }
    expect(index).toBe(members.length);
  }
});

test('damage is refused', async () => {
  const archive = tarMember({ path: 'a', type: 'file' }, Buffer.from('hello'));
  const flipped = Buffer.from(archive);
  flipped[0] = 0x7a;
  const drain = async (bytes: Buffer): Promise<void> => {
    for await (const _ of readTar(pieces(bytes, 100)));
  };
  await expect(drain(flipped)).rejects.toThrow('header checksum');
  await expect(drain(archive.subarray(0, 514))).rejects.toThrow('unexpected end');
});
