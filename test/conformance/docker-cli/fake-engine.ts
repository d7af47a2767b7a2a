import { PassThrough, Readable } from 'node:stream';
import type {
  ContainerStream,
  DockerJson,
  Engine,
  EngineContainers,
  EngineEvent,
  EngineExecs,
  EngineImages,
  EngineNetworks,
  EngineVolumes,
} from '../../../pkg/api/index.ts';
import { newHexId, systemRandom } from '../../../pkg/io/index.ts';
import { ClusterError } from '../../../pkg/model/index.ts';

interface FakeContainer {
  readonly id: string;
  readonly name: string;
  readonly body: DockerJson;
  readonly createdAt: number;
  state: 'created' | 'running' | 'exited';
  exitCode: number;
  readonly output: Buffer[];
  readonly waiters: Set<() => void>;
  readonly attached: Set<ContainerStream & { readonly stdout: PassThrough }>;
}

const IMAGE = 'busybox:latest';

/**
 * A host whose only program is `cat`, which copies its input to its output and exits 0 at the end of input, and whose
 * only other program, `echo`, prints its arguments. Enough to prove streams, upgrades and status codes.
 */
export class FakeEngine implements Engine {
  readonly #containers = new Map<string, FakeContainer>();
  readonly #execs = new Map<string, { body: DockerJson; container: string; exitCode?: number }>();
  readonly #volumes = new Map<string, DockerJson>();
  readonly #networks = new Map<string, DockerJson>();
  readonly #events: EngineEvent[] = [];

  async info(): Promise<DockerJson> {
    return {
      ID: 'host',
      Name: 'm1',
      ServerVersion: '0.1.0',
      Driver: 'overlay2',
      NCPU: 2,
      OSType: 'linux',
    };
  }

  async version(): Promise<DockerJson> {
    return {
      Platform: { Name: 'Muster' },
      Version: '0.1.0',
      Os: 'linux',
      Arch: 'amd64',
      Components: [],
    };
  }

  async *events(options: Parameters<Engine['events']>[0]): AsyncIterable<EngineEvent> {
    for (const event of this.#events) if (event.timeNs >= (options.sinceNs ?? 0n)) yield event;
    if (options.untilNs === undefined) {
      await new Promise((resolve) => options.signal.addEventListener('abort', resolve));
    }
  }

  async diskUsage(): Promise<DockerJson> {
    return { LayersSize: 0, Images: [], Containers: [], Volumes: [], BuildCache: [] };
  }

  #find(asked: string): FakeContainer {
    for (const container of this.#containers.values()) {
      if (container.id.startsWith(asked) || container.name === asked) return container;
    }
    throw new ClusterError('not-found', `No such container: ${asked}`);
  }

  #exit(container: FakeContainer, exitCode: number): void {
    container.state = 'exited';
    container.exitCode = exitCode;
    for (const stream of container.attached) {
      stream.stdout.end();
      (stream.stderr as PassThrough).end();
    }
    for (const waiter of container.waiters) waiter();
  }

  readonly containers: EngineContainers = {
    list: async ({ all }) =>
      [...this.#containers.values()]
        .filter((container) => all || container.state === 'running')
        .map((container) => ({
          Id: container.id,
          Names: [`/${container.name}`],
          Image: IMAGE,
          ImageID: `sha256:${'0'.repeat(64)}`,
          Command: commandOf(container.body).join(' '),
          Created: Math.floor(container.createdAt / 1000),
          Ports: [],
          Labels: {},
          State: container.state,
          Status:
            container.state === 'exited' ? `Exited (${container.exitCode}) 1 second ago` : 'Up',
          NetworkSettings: { Networks: {} },
          Mounts: [],
        })),
    inspect: async (asked) => {
      const container = this.#find(asked);
      return {
        Id: container.id,
        Name: `/${container.name}`,
        State: {
          Status: container.state,
          Running: container.state === 'running',
          ExitCode: container.exitCode,
        },
        Config: { Tty: false, Image: IMAGE, Labels: {} },
        HostConfig: { LogConfig: { Type: 'json-file' } },
        Mounts: [],
      };
    },
    create: async (name, body) => {
      if (body['Image'] !== 'busybox' && body['Image'] !== IMAGE) {
        throw new ClusterError('not-found', `No such image: ${String(body['Image'])}`);
      }
      const id = newHexId(systemRandom);
      this.#containers.set(id, {
        id,
        name: name ?? `name-${id.slice(0, 6)}`,
        body,
        createdAt: Date.now(),
        state: 'created',
        exitCode: 0,
        output: [],
        waiters: new Set(),
        attached: new Set(),
      });
      return { id, warnings: [] };
    },
    start: async (asked) => {
      const container = this.#find(asked);
      if (container.state === 'running') throw new ClusterError('not-modified', '');
      container.state = 'running';
      this.#run(container);
    },
    stop: async (asked) => this.#exit(this.#find(asked), 137),
    restart: async () => undefined,
    kill: async (asked) => this.#exit(this.#find(asked), 137),
    remove: async (asked, { force }) => {
      const container = this.#find(asked);
      if (container.state === 'running' && !force) {
        throw new ClusterError(
          'conflict',
          `cannot remove container "${asked}": container is running`,
        );
      }
      if (container.state === 'running') this.#exit(container, 137);
      this.#containers.delete(container.id);
    },
    wait: async (asked, condition, { registered }) => {
      const container = this.#find(asked);
      registered();
      if (condition !== 'not-running' || container.state === 'running') {
        await new Promise<void>((resolve) => container.waiters.add(resolve));
      }
      if (condition === 'removed') this.#containers.delete(container.id);
      return { exitCode: container.exitCode };
    },
    rename: async () => undefined,
    logs: async (asked, { tail }) => {
      const lines = this.#find(asked).output.slice(tail === undefined ? 0 : -tail);
      const records = lines.map((data) => ({
        timeNs: 1_700_000_000_000_000_001n,
        stream: 'stdout' as const,
        data,
      }));
      return { tty: false, records: Readable.from(records) };
    },
    attach: async (asked) => {
      const container = this.#find(asked);
      const stream = newStream();
      container.attached.add(stream);
      return stream;
    },
    resize: async () => undefined,
    top: async () => ({ Titles: ['PID', 'CMD'], Processes: [['1', 'cat']] }),
    stats: (asked, { signal }) => this.#stats(asked, signal),
    pause: async () => undefined,
    unpause: async () => undefined,
    update: async () => ({ warnings: [] }),
    changes: async () => [],
    exportTar: async () => Readable.from([Buffer.from('tar')]),
    archiveStat: async () => PATH_STAT,
    archiveGet: async () => ({ stat: PATH_STAT, tar: Readable.from([Buffer.alloc(1024)]) }),
    archivePut: async (_container, _path, tar) => {
      for await (const chunk of tar) void chunk;
    },
    prune: async () => ({ deleted: [], spaceReclaimed: 0 }),
  };

  async *#stats(asked: string, signal: AbortSignal): AsyncIterable<DockerJson> {
    const { id, name } = this.#find(asked);
    for (let sample = 0; !signal.aborted && sample < 3; sample++) {
      yield {
        id,
        name: `/${name}`,
        read: new Date().toISOString(),
        cpu_stats: {
          cpu_usage: { total_usage: sample * 1e6 },
          system_cpu_usage: sample * 1e9,
          online_cpus: 2,
        },
        precpu_stats: { cpu_usage: { total_usage: 0 }, system_cpu_usage: 0 },
        memory_stats: { usage: 1024, limit: 2048, stats: {} },
        pids_stats: { current: 1 },
        networks: {},
      };
    }
  }

  #run(container: FakeContainer): void {
    const [program, ...args] = commandOf(container.body);
    const write = (data: Buffer): void => {
      container.output.push(data);
      for (const stream of container.attached) stream.stdout.write(data);
    };
    if (program === 'echo') {
      write(Buffer.from(`${args.join(' ')}\n`));
      this.#exit(container, 0);
      return;
    }
    for (const stream of container.attached) {
      const input = stream.stdin as PassThrough;
      input.on('data', write);
      input.on('end', () => this.#exit(container, 0));
    }
  }

  readonly execs: EngineExecs = {
    create: async (asked, body) => {
      const id = newHexId(systemRandom);
      this.#execs.set(id, { body, container: this.#find(asked).id });
      return id;
    },
    start: async (id) => {
      const exec = this.#execs.get(id);
      if (!exec) throw new ClusterError('not-found', `No such exec instance: ${id}`);
      const stream = newStream();
      const [program, ...args] = (exec.body['Cmd'] as string[] | undefined) ?? [];
      exec.exitCode = program === 'false' ? 1 : 0;
      if (program === 'cat') {
        (stream.stdin as PassThrough).pipe(stream.stdout);
        (stream.stdin as PassThrough).on('end', () => (stream.stderr as PassThrough).end());
      } else {
        stream.stdout.end(program === 'echo' ? `${args.join(' ')}\n` : '');
        (stream.stderr as PassThrough).end();
      }
      return stream;
    },
    resize: async () => undefined,
    inspect: async (id) => ({
      ID: id,
      Running: false,
      ExitCode: this.#execs.get(id)?.exitCode ?? 0,
    }),
  };

  readonly images: EngineImages = {
    list: async () => [
      {
        Id: `sha256:${'0'.repeat(64)}`,
        RepoTags: [IMAGE],
        RepoDigests: [],
        Created: 0,
        Size: 1,
        Labels: {},
        Containers: -1,
        ParentId: '',
        SharedSize: -1,
      },
    ],
    inspect: async (asked) => {
      if (asked !== 'busybox' && asked !== IMAGE)
        throw new ClusterError('not-found', `No such image: ${asked}`);
      return { Id: `sha256:${'0'.repeat(64)}`, RepoTags: [IMAGE], Config: {} };
    },
    history: async () => [],
    tag: async () => undefined,
    remove: async (asked) => [{ Untagged: asked }],
    pull: (reference) => this.#pull(reference),
    push: (reference) => this.#pull(reference),
    load: (tar) => this.#load(tar),
    importTar: (tar) => this.#load(tar),
    save: async () => Readable.from([Buffer.from('tar')]),
    prune: async () => ({ deleted: [], spaceReclaimed: 0 }),
    distribution: async (reference) => {
      throw new ClusterError('forbidden', `no registry for ${reference}`);
    },
    login: async ({ password }) => {
      if (password !== 'right') throw new ClusterError('unauthorized', 'unauthorized: incorrect');
    },
  };

  async *#pull(reference: string): AsyncIterable<DockerJson> {
    yield { status: `Pulling from ${reference}` };
    if (reference.includes('missing')) throw new ClusterError('not-found', 'manifest unknown');
    yield { status: 'Download complete', id: 'abc', progressDetail: {} };
  }

  async *#load(tar: Readable): AsyncIterable<DockerJson> {
    let bytes = 0;
    for await (const chunk of tar) bytes += (chunk as Buffer).length;
    yield { stream: `Loaded ${bytes} bytes\n` };
  }

  readonly volumes: EngineVolumes = {
    list: async () => [...this.#volumes.values()],
    inspect: async (name) => {
      const volume = this.#volumes.get(name);
      if (!volume) throw new ClusterError('not-found', `get ${name}: no such volume`);
      return volume;
    },
    create: async (body) => {
      const volume = {
        Name: body['Name'],
        Driver: 'local',
        Mountpoint: '/x',
        Labels: body['Labels'] ?? {},
        Scope: 'local',
        Options: null,
      };
      this.#volumes.set(String(body['Name']), volume);
      return volume;
    },
    remove: async (name) => {
      if (!this.#volumes.delete(name))
        throw new ClusterError('not-found', `get ${name}: no such volume`);
    },
    prune: async () => ({ deleted: [], spaceReclaimed: 0 }),
  };

  readonly networks: EngineNetworks = {
    list: async () => [...this.#networks.values()],
    inspect: async (asked) => {
      const found = this.#networks.get(asked);
      if (!found) throw new ClusterError('not-found', `network ${asked} not found`);
      return found;
    },
    create: async (body) => {
      const id = newHexId(systemRandom);
      const name = String(body['Name']);
      this.#networks.set(name, {
        Name: name,
        Id: id,
        Scope: 'local',
        Driver: 'bridge',
        Labels: {},
        Created: '2026-01-01T00:00:00Z',
      });
      return { id, warning: '' };
    },
    remove: async (name) => {
      this.#networks.delete(name);
    },
    connect: async () => undefined,
    disconnect: async () => undefined,
    prune: async () => [],
  };
}

const PATH_STAT = {
  name: 'file',
  size: 3,
  mode: 0o644,
  mtime: '2026-01-01T00:00:00Z',
  linkTarget: '',
};

function commandOf(body: DockerJson): readonly string[] {
  return (body['Cmd'] as readonly string[] | null | undefined) ?? ['cat'];
}

function newStream(): ContainerStream & { readonly stdout: PassThrough } {
  return {
    tty: false,
    stdin: new PassThrough(),
    stdout: new PassThrough(),
    stderr: new PassThrough(),
    close: () => undefined,
  };
}
