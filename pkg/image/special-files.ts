/**
 * Device nodes, fifos and extended attributes. Node has no mknod(2) and no setxattr(2), so these rare members are
 * handed as one small archive to the host's tar(1), which has both.
 */
import { spawn } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ClusterError } from '../model/index.ts';
import { type TarMember, tarEnd, tarHeader, tarPadding } from './tar-write.ts';

/** `path` is relative to the root, without symbolic links in its directories. */
export type SpecialFile = TarMember;

/**
 * Makes them below `root`. Regular files must exist already: their bytes stay, attributes are added.
 * Members whose directory has meanwhile become something else are refused.
 */
export async function writeSpecialFiles(
  root: string,
  members: readonly SpecialFile[],
): Promise<void> {
  if (members.length === 0) return;
  for (const member of members) await checkParents(root, member.path);
  const flags = ['--xattrs', '--xattrs-include=*', '--numeric-owner', '--overwrite', '-p'];
  const child = spawn('tar', ['-x', ...flags, '-C', root, '-f', '-'], {
    stdio: ['pipe', 'ignore', 'pipe'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    if (said.length < 2000) said += chunk.toString('utf8');
  });
  const ended = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? -1));
  });
  const fed = pipeline(Readable.from(archive(root, members)), child.stdin).catch(() => undefined);
  const code = await ended;
  await fed;
  if (code !== 0) {
    throw new ClusterError(
      'system',
      `cannot make special files: tar: ${said.trim().split('\n')[0]}`,
    );
  }
}

async function* archive(root: string, members: readonly SpecialFile[]): AsyncGenerator<Buffer> {
  for (const member of members) {
    yield tarHeader(member);
    if (member.type !== 'file') continue;
    yield* createReadStream(join(root, member.path));
    yield tarPadding(member.size ?? 0);
  }
  yield tarEnd();
}

async function checkParents(root: string, path: string): Promise<void> {
  for (let at = dirname(join(root, path)); relative(root, at) !== ''; at = dirname(at)) {
    const found = await lstat(at);
    if (!found.isDirectory()) throw new ClusterError('invalid', `${path}: not inside a directory`);
  }
}
