import { ClusterError } from '../model/index.ts';
import type { AttachedSandbox } from '../overlaynet/index.ts';
import type { HealthMonitor } from './health.ts';
import type { ContainerRecord, RunState } from './record.ts';

/** What listeners of one container hear; `exited` and `removed` are what `wait` waits for. */
export type Change = 'started' | 'exited' | 'health' | 'removed' | 'renamed';

/** One container of this host while the engine runs: its record and what only memory holds. */
export class Container {
  record: ContainerRecord;
  /** 0 unless running. */
  pid = 0;
  paused = false;
  /** Of the last start, monotonic. */
  startedAtMs = 0;
  health: HealthMonitor | undefined;
  sandbox: AttachedSandbox | undefined;
  /** Being restarted by policy: cancels the timer of the next try. */
  restart: { cancel(): void } | undefined;
  restartDelayMs = 0;
  /** Set while `docker restart` is between stop and start. */
  restarting = false;
  readonly execIds = new Set<string>();
  readonly #listeners = new Set<(change: Change) => void>();
  #queue: Promise<unknown> = Promise.resolve();

  constructor(record: ContainerRecord) {
    this.record = record;
  }

  get id(): string {
    return this.record.id;
  }

  get name(): string {
    return this.record.name;
  }

  get state(): RunState {
    return this.record.state;
  }

  get running(): boolean {
    return this.record.state.status === 'running';
  }

  /** Runs `work` after everything queued before it: one start, exit or removal of this container at a time. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work, work);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  setState(change: Partial<RunState>): void {
    this.record = { ...this.record, state: { ...this.record.state, ...change } };
  }

  /** @returns how to stop listening */
  listen(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener);
    return (): void => {
      this.#listeners.delete(listener);
    };
  }

  tell(change: Change): void {
    for (const listener of [...this.#listeners]) listener(change);
  }

  /** Resolves with the next change that `wanted` accepts. Rejects on abort. */
  next(wanted: (change: Change) => boolean, signal?: AbortSignal): Promise<Change> {
    return new Promise((resolve, reject) => {
      const done = (): void => {
        forget();
        signal?.removeEventListener('abort', aborted);
      };
      const aborted = (): void => {
        done();
        reject(new ClusterError('cancelled', 'context canceled'));
      };
      const forget = this.listen((change) => {
        if (!wanted(change)) return;
        done();
        resolve(change);
      });
      if (signal?.aborted) aborted();
      else signal?.addEventListener('abort', aborted, { once: true });
    });
  }

  /** The attributes of its events: labels, image, name. */
  attributes(more: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
    const { config, imageName, name } = this.record;
    return { ...config.Labels, image: imageName, name, ...more };
  }
}

/** The containers of this host by id and name. */
export class Registry {
  readonly #byId = new Map<string, Container>();
  readonly #byName = new Map<string, string>();

  /** Newest first. */
  list(): readonly Container[] {
    return [...this.#byId.values()].sort((left, right) =>
      left.record.createdAt < right.record.createdAt ? 1 : -1,
    );
  }

  add(container: Container): void {
    this.reserve(container.name, container.id);
    this.#byId.set(container.id, container);
  }

  /** Takes a name for a container about to be made. @throws ClusterError `conflict` in Docker's words */
  reserve(name: string, id: string): void {
    const owner = this.#byName.get(name);
    if (owner !== undefined && owner !== id) {
      throw new ClusterError(
        'conflict',
        `Conflict. The container name "/${name}" is already in use by container "${owner}". You have to remove (or rename) that container to be able to reuse that name.`,
      );
    }
    this.#byName.set(name, id);
  }

  release(name: string): void {
    this.#byName.delete(name);
  }

  remove(container: Container): void {
    this.#byId.delete(container.id);
    if (this.#byName.get(container.name) === container.id) this.#byName.delete(container.name);
  }

  hasName(name: string): boolean {
    return this.#byName.has(name);
  }

  /** By id, name or unique id prefix. */
  find(text: string): Container | undefined {
    const exact = this.#byId.get(text);
    if (exact) return exact;
    const bare = text.startsWith('/') ? text.slice(1) : text;
    const named = this.#byName.get(bare);
    if (named !== undefined) return this.#byId.get(named);
    if (!/^[0-9a-f]+$/.test(bare)) return undefined;
    const found = [...this.#byId.keys()].filter((id) => id.startsWith(bare));
    if (found.length > 1) {
      throw new ClusterError('invalid', `Multiple IDs found with provided prefix: ${text}`);
    }
    return found[0] === undefined ? undefined : this.#byId.get(found[0]);
  }

  /** @throws ClusterError `No such container: x` */
  get(text: string): Container {
    const container = this.find(text);
    if (container) return container;
    throw new ClusterError('not-found', `No such container: ${text}`);
  }
}
