/** The secret and config files of task containers: on tmpfs, one directory per container, gone when it has ended. */
import { chmod, chown, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Host } from './host.ts';
import type { MountedFile } from './record.ts';
import type { TaskFile } from './task-spec.ts';

type Place = Pick<Host, 'options'>;

function directoryOf(host: Place, containerId: string): string {
  return join(host.options.runDir, 'secrets', containerId);
}

/** @returns where each file lies and where the container sees it */
export async function writeSecrets(
  host: Place,
  containerId: string,
  files: readonly TaskFile[],
): Promise<readonly MountedFile[]> {
  const directory = directoryOf(host, containerId);
  await mkdir(directory, { recursive: true, mode: 0o711 });
  const mounted: MountedFile[] = [];
  for (const [index, file] of files.entries()) {
    const source = join(directory, String(index));
    await writeFile(source, file.bytes, { mode: 0o400 });
    await chown(source, file.uid, file.gid);
    await chmod(source, file.mode & 0o7777);
    mounted.push({ source, target: file.target });
  }
  return mounted;
}

export async function removeSecrets(host: Place, containerId: string): Promise<void> {
  await rm(directoryOf(host, containerId), { recursive: true, force: true });
}

/** Removes those of containers that are no more. */
export async function removeStraySecrets(
  host: Place,
  known: (containerId: string) => boolean,
): Promise<void> {
  for (const id of await readdir(join(host.options.runDir, 'secrets'))) {
    if (!known(id)) await removeSecrets(host, id);
  }
}
