/** `docker cp`, `export`, `diff`: a container's files seen from the host. */
import { spawn } from 'node:child_process';
import { lstat, mkdir, readdir, readlink, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { PassThrough, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { unpackArchive } from '../image/index.ts';
import { ClusterError, errorMessage } from '../model/index.ts';
import type { Container } from './container.ts';
import type { DockerJson } from './docker-shape.ts';
import type { Host } from './host.ts';
import { HOST_FILES } from './launcher.ts';

export interface PathStat {
  readonly name: string;
  readonly size: number;
  /** Go FileMode bits. */
  readonly mode: number;
  /** RFC 3339. */
  readonly mtime: string;
  readonly linkTarget: string;
}

/** Go's fs.FileMode bits above the permissions. */
const GO_DIR = 2 ** 31;
const GO_SYMLINK = 2 ** 27;
const GO_SPECIAL = [
  [0o4000, 2 ** 23],
  [0o2000, 2 ** 22],
  [0o1000, 2 ** 20],
] as const;
const LINKS_MAX = 40;
const TOOLS = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };

/** Runs `work` on the container's root as the host sees it: the live one, or a read-write mount made for the purpose. */
async function withRoot<T>(
  host: Host,
  container: Container,
  work: (root: string) => Promise<T>,
): Promise<T> {
  if (container.running) return work(`/proc/${container.pid}/root`);
  return container.exclusive(async () => {
    const image = host.images.get(container.record.imageId);
    const snapshot = await host.images.prepareSnapshot(container.id, image.id);
    const root = join(host.options.runDir, 'mounts', container.id);
    await mkdir(root, { recursive: true, mode: 0o700 });
    const lower = snapshot.lowerDirs.join(':');
    const options = `lowerdir=${lower},upperdir=${snapshot.upperDir},workdir=${snapshot.workDir}`;
    await run('mount', ['-t', 'overlay', 'overlay', '-o', options, root]);
    try {
      return await work(root);
    } finally {
      await run('umount', [root]).catch((error: unknown) =>
        host.log.error('cannot unmount', { path: root, error: errorMessage(error) }),
      );
      await rm(root, { recursive: false, force: true }).catch(() => undefined);
    }
  });
}

async function run(program: string, args: readonly string[]): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'], env: TOOLS });
  await ended(child, program);
}

function ended(child: ReturnType<typeof spawn>, program: string): Promise<void> {
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString('utf8')).slice(0, 1000);
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new ClusterError('system', `${program}: ${said.trim() || `status ${code}`}`));
    });
  });
}

/** A path inside `root` with links followed inside it only; the last one is kept unless `follow`. */
async function resolveInside(root: string, path: string, follow: boolean): Promise<string> {
  const todo = path.split('/').filter((part) => part !== '' && part !== '.');
  let at = '';
  let links = 0;
  for (let part = todo.shift(); part !== undefined; part = todo.shift()) {
    if (part === '..') {
      at = dirname(at) === '.' ? '' : dirname(at);
      continue;
    }
    const next = join(at, part);
    const found = await lstat(join(root, next)).catch(() => undefined);
    if (!found?.isSymbolicLink() || (!follow && todo.length === 0)) {
      at = next;
      continue;
    }
    links += 1;
    if (links > LINKS_MAX) throw new ClusterError('invalid', `${path}: too many symbolic links`);
    const target = await readlink(join(root, next));
    if (target.startsWith('/')) at = '';
    todo.unshift(...target.split('/').filter((each) => each !== '' && each !== '.'));
  }
  return at;
}

async function statInside(
  root: string,
  request: { readonly path: string; readonly container: Container },
): Promise<{ readonly at: string; readonly stat: PathStat }> {
  const at = await resolveInside(root, request.path, request.path.endsWith('/'));
  const found = await lstat(`${root}/${at}`).catch(() => undefined);
  if (!found) {
    throw new ClusterError(
      'not-found',
      `Could not find the file ${request.path} in container ${request.container.name}`,
    );
  }
  const kind = found.isDirectory() ? GO_DIR : found.isSymbolicLink() ? GO_SYMLINK : 0;
  const special = GO_SPECIAL.reduce((bits, [unix, go]) => bits + (found.mode & unix ? go : 0), 0);
  const linkTarget = found.isSymbolicLink() ? await readlink(join(root, at)) : '';
  const stat: PathStat = {
    name: at === '' ? '/' : basename(at),
    size: found.size,
    mode: kind + special + (found.mode & 0o777),
    mtime: found.mtime.toISOString(),
    linkTarget,
  };
  return { at, stat };
}

export function archiveStat(host: Host, container: Container, path: string): Promise<PathStat> {
  return withRoot(
    host,
    container,
    async (root) => (await statInside(root, { path, container })).stat,
  );
}

export async function archiveGet(
  host: Host,
  container: Container,
  path: string,
): Promise<{ readonly stat: PathStat; readonly tar: Readable }> {
  const { value, tar } = await packed(host, container, async (root) => {
    const { at, stat } = await statInside(root, { path, container });
    const directory = at === '' ? `${root}/` : join(root, dirname(at));
    return { value: stat, directory, name: at === '' ? '.' : basename(at) };
  });
  return { stat: value, tar };
}

export function exportTar(host: Host, container: Container): Promise<Readable> {
  return packed(host, container, async (root) => ({
    value: '',
    directory: `${root}/`,
    name: '.',
  })).then(({ tar }) => tar);
}

/** Streams `tar -c`; the root stays mounted until the stream has ended. */
function packed<T>(
  host: Host,
  container: Container,
  choose: (root: string) => Promise<{ value: T; directory: string; name: string }>,
): Promise<{ readonly value: T; readonly tar: Readable }> {
  return new Promise((resolve, reject) => {
    withRoot(host, container, async (root) => {
      const { value, directory, name } = await choose(root);
      const child = spawn(
        'tar',
        ['-c', '--numeric-owner', '--one-file-system', '-C', directory, '-f', '-', '--', name],
        {
          stdio: ['ignore', 'pipe', 'pipe'],
          env: TOOLS,
        },
      );
      const tar = new PassThrough();
      const done = ended(child, 'tar');
      resolve({ value, tar });
      const results = await Promise.allSettled([pipeline(child.stdout, tar), done]);
      for (const result of results) if (result.status === 'rejected') tar.destroy(result.reason);
    }).catch(reject);
  });
}

export function archivePut(
  host: Host,
  container: Container,
  request: { readonly path: string; readonly tar: Readable },
): Promise<void> {
  return withRoot(host, container, async (root) => {
    const at = await resolveInside(root, request.path, true);
    // The slash matters: /proc/<pid>/root itself is a link.
    const found = await lstat(`${root}/${at}`).catch(() => undefined);
    if (!found) {
      throw new ClusterError(
        'not-found',
        `Could not find the file ${request.path} in container ${container.name}`,
      );
    }
    if (!found.isDirectory())
      throw new ClusterError('invalid', 'extraction point is not a directory');
    await unpackArchive(request.tar, root, at);
  });
}

/** What the writable layer says: 0 changed, 1 added, 2 deleted. */
export async function changes(host: Host, container: Container): Promise<readonly DockerJson[]> {
  const image = host.images.get(container.record.imageId);
  const { upperDir } = await host.images.prepareSnapshot(container.id, image.id);
  const view = await host.images.layers.view(image.config.rootfs.diff_ids);
  const found: { Path: string; Kind: number }[] = [];
  const walk = async (directory: string): Promise<void> => {
    for (const entry of await readdir(join(upperDir, directory), { withFileTypes: true })) {
      const path = join(directory, entry.name);
      const below = await view.find(path);
      const stats = await lstat(join(upperDir, path));
      const deleted = stats.isCharacterDevice() && stats.rdev === 0;
      found.push({ Path: `/${path}`, Kind: deleted ? 2 : below ? 0 : 1 });
      if (entry.isDirectory()) await walk(path);
    }
  };
  await walk('');
  // Places for mounts that the start made are not the user's changes.
  const places = new Set(['dev', 'proc', 'sys', ...HOST_FILES.map((name) => `etc/${name}`)]);
  return found.filter(({ Path, Kind }) => Kind !== 1 || !places.has(Path.slice(1)));
}
