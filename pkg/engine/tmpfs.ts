import { spawn } from 'node:child_process';
import { mkdir, statfs } from 'node:fs/promises';
import { ClusterError } from '../model/index.ts';

/** statfs(2), linux/magic.h */
const TMPFS_MAGIC = 0x01021994;

/** Makes `path` a directory in memory: secrets never reach a disk. Mounts a tmpfs only where it is not one already. */
export async function ensureTmpfs(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o711 });
  if ((await statfs(path)).type === TMPFS_MAGIC) return;
  const options = 'mode=0711,nosuid,nodev,noexec';
  const child = spawn('mount', ['-t', 'tmpfs', '-o', options, 'muster-secrets', path], {
    stdio: 'ignore',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new ClusterError('system', `cannot mount a tmpfs for secrets on ${path}`);
}
