/** The working directory of a container with a read-only root: made in its writable layer before it is mounted. */
import { chmod, lchown, lstat, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Host } from './host.ts';
import type { ContainerRecord } from './record.ts';

/** The runtime makes it where the root is writable; here it must be there already, as Docker has it. */
export async function prepareWorkingDirectory(host: Host, record: ContainerRecord): Promise<void> {
  const wanted = record.config.WorkingDir;
  if (!wanted || wanted === '/' || !record.hostConfig.ReadonlyRootfs) return;
  const { diff_ids: diffIds } = host.images.get(record.imageId).config.rootfs;
  const { upperDir } = await host.images.layers.prepare(record.id, diffIds);
  const view = await host.images.layers.view(diffIds, record.id);
  if (await view.find(wanted)) return;
  let at = '';
  for (const part of wanted.split('/').filter((each) => each !== '' && each !== '.')) {
    // Through links of the image, but never `..` out of what was found.
    const next =
      part === '..' ? undefined : ((await view.resolve(`${at}/${part}`)) ?? join(at, part));
    if (next === undefined) return;
    at = next;
    await makeLike(join(upperDir, at), (await view.find(at))?.stats);
  }
}

/** A directory of the layers below keeps its owner and mode when it appears in the writable one. */
async function makeLike(
  path: string,
  model: { readonly mode: number; readonly uid: number; readonly gid: number } | undefined,
): Promise<void> {
  if (await lstat(path).catch(() => undefined)) return;
  await mkdir(path);
  await lchown(path, model?.uid ?? 0, model?.gid ?? 0);
  await chmod(path, (model?.mode ?? 0o755) & 0o7777);
}
