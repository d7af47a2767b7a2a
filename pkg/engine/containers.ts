/** The verbs of `docker container`, Docker-shaped. */
import type { Readable } from 'node:stream';
import { sleep } from '../io/index.ts';
import { ClusterError } from '../model/index.ts';
import type { LogRecord } from '../runtime/index.ts';
import {
  archiveGet,
  archivePut,
  archiveStat,
  changes,
  exportTar,
  type PathStat,
} from './archive.ts';
import { attach, type ContainerStream } from './attach.ts';
import type { Container } from './container.ts';
import { createContainer } from './create.ts';
import { deviceNumber } from './device.ts';
import { type DockerJson, type HostConfig, parseCreateBody } from './docker-shape.ts';
import { rethrow } from './failure.ts';
import type { Host } from './host.ts';
import { renderInspect, renderSummary } from './inspect.ts';
import { readLogs } from './logs.ts';
import { checkName } from './name.ts';
import { removeContainer } from './remove.ts';
import { resourcesOf } from './runtime-spec.ts';
import { renderStats, type Sample, takeSample } from './stats.ts';
import type { StopRequest, Supervisor } from './supervisor.ts';
import { renderTop } from './top.ts';
import { directoryBytes } from './volumes.ts';

const STATS_PERIOD_MS = 1000;
const WAITS = {
  'not-running': (container: Container): boolean => !container.running,
  'next-exit': (): boolean => false,
  removed: (): boolean => false,
} as const;

export interface StopOptions {
  readonly timeoutS?: number | undefined;
  readonly signal?: string | undefined;
}

export interface ContainerLogOptions {
  readonly follow: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly sinceNs?: bigint | undefined;
  readonly untilNs?: bigint | undefined;
  readonly tail?: number | undefined;
  readonly signal: AbortSignal;
}

export class Containers {
  readonly #host: Host;
  readonly #supervisor: Supervisor;

  constructor(host: Host, supervisor: Supervisor) {
    this.#host = host;
    this.#supervisor = supervisor;
  }

  async list(options: {
    readonly all: boolean;
    readonly size: boolean;
  }): Promise<readonly DockerJson[]> {
    const wanted = this.#host.registry.list().filter(({ running }) => options.all || running);
    const now = this.#host.clock.now();
    const summaries: DockerJson[] = [];
    for (const container of wanted) {
      const sizes = options.size ? await this.#sizes(container) : {};
      summaries.push({ ...renderSummary(this.#host, container, now), ...sizes });
    }
    return summaries;
  }

  async inspect(text: string, options: { readonly size: boolean }): Promise<DockerJson> {
    const container = this.#get(text);
    const sizes = options.size ? await this.#sizes(container) : {};
    return { ...renderInspect(this.#host, container), ...sizes };
  }

  async #sizes(container: Container): Promise<DockerJson> {
    const image = this.#host.images.find(container.record.imageId);
    const { upperDir } = await this.#host.images.layers.prepare(container.id, []);
    const SizeRw = await directoryBytes(upperDir);
    return { SizeRw, SizeRootFs: (image?.size ?? 0) + SizeRw };
  }

  #get(text: string): Container {
    return this.#host.registry.get(text);
  }

  async create(
    name: string | undefined,
    body: DockerJson,
  ): Promise<{ readonly id: string; readonly warnings: readonly string[] }> {
    const parsed = parseCreateBody(body);
    const { container, warnings } = await createContainer(this.#host, { name, body: parsed });
    return { id: container.id, warnings };
  }

  async start(text: string): Promise<void> {
    await this.#supervisor.start(this.#get(text));
  }

  async stop(text: string, options: StopOptions): Promise<void> {
    await this.#supervisor.stop(this.#get(text), stopRequest(options));
  }

  async restart(text: string, options: StopOptions): Promise<void> {
    await this.#supervisor.restart(this.#get(text), stopRequest(options));
  }

  async kill(text: string, signal: string): Promise<void> {
    const container = this.#get(text);
    await this.#supervisor.kill(container, signal).catch(rethrow(`cannot kill container: ${text}`));
  }

  async remove(
    text: string,
    options: { readonly force: boolean; readonly volumes: boolean },
  ): Promise<void> {
    await removeContainer(this.#host, this.#supervisor, this.#get(text), options);
  }

  async wait(
    text: string,
    condition: 'not-running' | 'next-exit' | 'removed',
    options: { readonly registered: () => void; readonly signal: AbortSignal },
  ): Promise<{ readonly exitCode: number; readonly error?: string | undefined }> {
    const container = this.#get(text);
    const wanted = condition === 'removed' ? 'removed' : 'exited';
    const met = WAITS[condition](container);
    const done = met
      ? undefined
      : container.next((change) => change === wanted || change === 'removed', options.signal);
    options.registered();
    await done;
    return { exitCode: container.state.exitCode };
  }

  async rename(text: string, name: string): Promise<void> {
    const container = this.#get(text);
    const next = checkName(name);
    const previous = container.name;
    if (next === previous) {
      throw new ClusterError(
        'invalid',
        'Renaming a container with the same name as its current name',
      );
    }
    this.#host.registry.reserve(next, container.id);
    container.record = { ...container.record, name: next };
    await this.#host.records.save(container.record);
    this.#host.registry.release(previous);
    container.tell('renamed');
    const attributes = container.attributes({ oldName: `/${previous}` });
    this.#host.events.emit('container', 'rename', { id: container.id, attributes });
  }

  async logs(
    text: string,
    options: ContainerLogOptions,
  ): Promise<{ readonly tty: boolean; readonly records: AsyncIterable<LogRecord> }> {
    const container = this.#get(text);
    if (container.record.hostConfig.LogConfig?.Type === 'none') {
      throw new ClusterError(
        'not-implemented',
        'configured logging driver does not support reading',
      );
    }
    const { sinceNs, untilNs, ...rest } = options;
    const records = readLogs(this.#host, container, { ...rest, since: sinceNs, until: untilNs });
    return { tty: container.record.config.Tty ?? false, records };
  }

  async attach(text: string, _options: { readonly stdin: boolean }): Promise<ContainerStream> {
    const container = this.#get(text);
    if (container.paused) {
      throw new ClusterError(
        'conflict',
        `container ${container.name} is paused, unpause the container before attach`,
      );
    }
    const stream = await attach(this.#host, this.#supervisor, container);
    const attributes = container.attributes();
    this.#host.events.emit('container', 'attach', { id: container.id, attributes });
    return stream;
  }

  async resize(
    text: string,
    size: { readonly rows: number; readonly columns: number },
  ): Promise<void> {
    const { id } = this.#running(text);
    await this.#host.runtime
      .resize(id, size.rows, size.columns)
      .catch(rethrow('cannot resize the terminal'));
  }

  async top(text: string, psArgs: string): Promise<DockerJson> {
    const container = this.#running(text);
    return renderTop(await this.#host.runtime.top(container.id), psArgs);
  }

  #running(text: string): Container {
    const container = this.#get(text);
    if (container.running) return container;
    throw new ClusterError('conflict', `container ${container.id} is not running`);
  }

  async *stats(
    text: string,
    options: { readonly signal: AbortSignal },
  ): AsyncGenerator<DockerJson> {
    const container = this.#get(text);
    const { runtime, clock } = this.#host;
    let before: Sample | undefined;
    while (!options.signal.aborted && container.running) {
      const now = await takeSample(await runtime.stats(container.id), container.pid);
      yield renderStats(container, now, before);
      before = now;
      await sleep(clock, STATS_PERIOD_MS, options.signal).catch(() => undefined);
    }
  }

  async pause(text: string): Promise<void> {
    const container = this.#running(text);
    if (container.paused)
      throw new ClusterError('conflict', `Container ${container.id} is already paused`);
    await this.#host.runtime.pause(container.id).catch(rethrow('cannot pause container'));
    container.paused = true;
    this.#emit(container, 'pause');
  }

  async unpause(text: string): Promise<void> {
    const container = this.#running(text);
    if (!container.paused)
      throw new ClusterError('conflict', `Container ${container.id} is not paused`);
    await this.#host.runtime.resume(container.id).catch(rethrow('cannot unpause container'));
    container.paused = false;
    this.#emit(container, 'unpause');
  }

  async update(text: string, body: DockerJson): Promise<{ readonly warnings: readonly string[] }> {
    const container = this.#get(text);
    const change = body as HostConfig;
    const given = Object.entries(change).filter(
      ([, value]) => value !== null && value !== 0 && value !== '',
    );
    if (container.running) {
      const resources = resourcesOf(change, deviceNumber);
      await this.#host.runtime
        .update(container.id, resources)
        .catch(rethrow('cannot update container'));
    }
    const hostConfig = { ...container.record.hostConfig, ...Object.fromEntries(given) };
    container.record = { ...container.record, hostConfig };
    await this.#host.records.save(container.record);
    this.#emit(container, 'update');
    return { warnings: [] };
  }

  #emit(container: Container, action: string): void {
    const attributes = container.attributes();
    this.#host.events.emit('container', action, { id: container.id, attributes });
  }

  changes(text: string): Promise<readonly DockerJson[]> {
    return changes(this.#host, this.#get(text));
  }

  exportTar(text: string): Promise<Readable> {
    return exportTar(this.#host, this.#get(text));
  }

  archiveStat(text: string, path: string): Promise<PathStat> {
    return archiveStat(this.#host, this.#get(text), path);
  }

  archiveGet(
    text: string,
    path: string,
  ): Promise<{ readonly stat: PathStat; readonly tar: Readable }> {
    return archiveGet(this.#host, this.#get(text), path);
  }

  archivePut(text: string, path: string, tar: Readable): Promise<void> {
    return archivePut(this.#host, this.#get(text), { path, tar });
  }

  async prune(
    keep: (summary: DockerJson) => boolean,
  ): Promise<{ readonly deleted: readonly string[]; readonly spaceReclaimed: number }> {
    const now = this.#host.clock.now();
    const deleted: string[] = [];
    let spaceReclaimed = 0;
    for (const container of this.#host.registry.list()) {
      // A task's container belongs to the cluster.
      if (container.running || container.restart || container.record.task) continue;
      if (keep(renderSummary(this.#host, container, now))) continue;
      spaceReclaimed += Number((await this.#sizes(container))['SizeRw']);
      await this.remove(container.id, { force: false, volumes: false });
      deleted.push(container.id);
    }
    return { deleted, spaceReclaimed };
  }
}

function stopRequest(options: StopOptions): StopRequest {
  const { timeoutS, signal } = options;
  return { signal, timeoutMs: timeoutS === undefined ? undefined : timeoutS * 1000 };
}
