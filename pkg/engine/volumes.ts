/** Local volumes: `<directory>/<name>/_data`, described by `volume.json` beside it. */
import { spawn } from 'node:child_process';
import type { Stats } from 'node:fs';
import {
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { newHexId, type Random } from '../io/index.ts';
import { ClusterError } from '../model/index.ts';

export interface Volume {
  readonly name: string;
  readonly driver: string;
  /** RFC 3339. */
  readonly createdAt: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, string>>;
  /** Named by us, for one container. */
  readonly anonymous: boolean;
}

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const ANONYMOUS_LABEL = 'com.docker.volume.anonymous';

export class VolumeStore {
  readonly #directory: string;
  readonly #random: Random;
  readonly #volumes = new Map<string, Volume>();
  /** Being made: several containers that begin at once may name the same one. */
  readonly #coming = new Map<string, Promise<Volume>>();

  constructor(directory: string, random: Random) {
    this.#directory = directory;
    this.#random = random;
  }

  async open(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o701 });
    for (const name of await readdir(this.#directory)) {
      const text = await readFile(join(this.#directory, name, 'volume.json'), 'utf8').catch(
        () => undefined,
      );
      if (text === undefined || name.startsWith('.')) {
        await rm(join(this.#directory, name), { recursive: true, force: true });
      } else {
        this.#volumes.set(name, JSON.parse(text) as Volume);
      }
    }
  }

  list(): readonly Volume[] {
    return [...this.#volumes.values()];
  }

  find(name: string): Volume | undefined {
    return this.#volumes.get(name);
  }

  /** @throws ClusterError in Docker's words */
  get(name: string): Volume {
    const volume = this.#volumes.get(name);
    if (volume) return volume;
    throw new ClusterError('not-found', `get ${name}: no such volume`);
  }

  /** The directory that is mounted. */
  path(name: string): string {
    return join(this.#directory, name, '_data');
  }

  /** The volume of that name, made when there is none. Without a name it is anonymous. */
  async ensure(request: {
    readonly name?: string | undefined;
    readonly driver?: string | undefined;
    readonly labels?: Readonly<Record<string, string>> | undefined;
    readonly options?: Readonly<Record<string, string>> | undefined;
  }): Promise<Volume> {
    const anonymous = request.name === undefined || request.name === '';
    const name = anonymous ? newHexId(this.#random) : (request.name as string);
    const known = this.#volumes.get(name);
    if (known) return known;
    const coming = this.#coming.get(name);
    if (coming !== undefined) return await coming;
    checkRequest(name, request);
    const labels = { ...request.labels, ...(anonymous ? { [ANONYMOUS_LABEL]: '' } : {}) };
    const volume: Volume = {
      name,
      driver: 'local',
      createdAt: new Date().toISOString(),
      labels,
      options: request.options ?? {},
      anonymous,
    };
    const making = this.#make(volume).finally(() => this.#coming.delete(name));
    this.#coming.set(name, making);
    return await making;
  }

  async #make(volume: Volume): Promise<Volume> {
    const { name } = volume;
    const temporary = join(this.#directory, `.${name}`);
    await rm(temporary, { recursive: true, force: true });
    await mkdir(join(temporary, '_data'), { recursive: true, mode: 0o755 });
    await writeFile(join(temporary, 'volume.json'), JSON.stringify(volume));
    await rename(temporary, join(this.#directory, name));
    this.#volumes.set(name, volume);
    return volume;
  }

  async remove(name: string): Promise<void> {
    this.get(name);
    this.#volumes.delete(name);
    const doomed = join(this.#directory, `.${name}`);
    await rename(join(this.#directory, name), doomed);
    await rm(doomed, { recursive: true, force: true });
  }

  /** Bytes in use, as du(1) counts them. */
  async bytes(name: string): Promise<number> {
    return directoryBytes(this.path(name));
  }
}

function checkRequest(
  name: string,
  request: {
    readonly driver?: string | undefined;
    readonly options?: Readonly<Record<string, string>> | undefined;
  },
): void {
  if (!NAME.test(name) || name.length > 255) {
    throw new ClusterError(
      'invalid',
      `create ${name}: "${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
    );
  }
  const driver = request.driver ?? 'local';
  if (driver !== 'local' && driver !== '' && driver !== 'default') {
    throw new ClusterError(
      'not-found',
      `create ${name}: error looking up volume plugin ${driver}: plugin "${driver}" not found`,
    );
  }
  const [unknown] = Object.keys(request.options ?? {});
  if (unknown !== undefined) {
    throw new ClusterError('invalid', `create ${name}: invalid option: "${unknown}"`);
  }
}

/** Fills an empty volume with what the image has in that place, owner and mode of the directory included. */
export async function copyUp(
  image: {
    /** Host paths of the entries of the directory, as a mount would show them. */
    readonly entries: readonly string[];
    readonly directory: Stats;
  },
  target: string,
): Promise<void> {
  if ((await readdir(target)).length > 0) return;
  await chown(target, image.directory.uid, image.directory.gid);
  await chmod(target, image.directory.mode & 0o7777);
  if (image.entries.length > 0) await copyAll(image.entries, target);
}

/** Node's cp knows neither owners nor devices nor sparse files; cp(1) does. */
function copyAll(sources: readonly string[], target: string): Promise<void> {
  const child = spawn('cp', ['-a', '--target-directory', target, '--', ...sources], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said = (said + chunk.toString('utf8')).slice(0, 1000);
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve();
      else reject(new ClusterError('system', `cannot copy into ${target}: ${said.trim()}`));
    });
  });
}

export async function directoryBytes(path: string): Promise<number> {
  let total = 0;
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const at = join(path, entry.name);
    if (entry.isDirectory()) total += await directoryBytes(at);
    else if (entry.isFile())
      total += await lstat(at).then(
        ({ size }) => size,
        () => 0,
      );
  }
  return total;
}
