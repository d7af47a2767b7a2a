import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ImageStore } from '../image/index.ts';
import { silentLogger, systemClock, systemRandom } from '../io/index.ts';
import { adoptContainers } from './adopt.ts';
import { Registry } from './container.ts';
import { Containers } from './containers.ts';
import type { DockerJson } from './docker-shape.ts';
import { type EngineEvent, EventLog, type EventOptions } from './events.ts';
import { Execs } from './execs.ts';
import type { EngineOptions, Host } from './host.ts';
import { Images } from './images.ts';
import { hostInfo, versionInfo } from './info.ts';
import { dropStaleLease } from './lease.ts';
import { LocalNetworks } from './local-networks.ts';
import { NetworkVerbs } from './network-verbs.ts';
import { RecordStore } from './record-store.ts';
import { removeContainer } from './remove.ts';
import { Supervisor } from './supervisor.ts';
import { Tasks } from './tasks.ts';
import { ensureTmpfs } from './tmpfs.ts';
import { VolumeVerbs } from './volume-verbs.ts';
import { VolumeStore } from './volumes.ts';

/**
 * One host's containers, images, volumes and local networks. The parts have Docker's verbs and Docker's JSON;
 * `tasks` is what the agent's task driver uses.
 */
export class Engine {
  readonly containers: Containers;
  readonly execs: Execs;
  readonly images: Images;
  readonly volumes: VolumeVerbs;
  readonly networks: NetworkVerbs;
  readonly tasks: Tasks;
  readonly #host: Host;
  readonly #supervisor: Supervisor;

  /** Use `createEngine`. */
  constructor(host: Host, supervisor: Supervisor) {
    this.#host = host;
    this.#supervisor = supervisor;
    this.containers = new Containers(host, supervisor);
    this.execs = new Execs(host);
    this.images = new Images(host);
    this.volumes = new VolumeVerbs(host);
    this.networks = new NetworkVerbs(host);
    this.tasks = new Tasks(host, supervisor);
  }

  events(options: EventOptions): AsyncIterable<EngineEvent> {
    return this.#host.events.read(options);
  }

  info(): Promise<DockerJson> {
    return hostInfo(this.#host);
  }

  version(): Promise<DockerJson> {
    return versionInfo(this.#host);
  }

  async diskUsage(): Promise<DockerJson> {
    const Images = await this.images.list({ all: true });
    const Volumes = await Promise.all(
      this.#host.volumes.list().map(async (volume) => {
        const used = this.#host.registry
          .list()
          .filter(({ record }) =>
            record.mounts.some((mount) => mount.type === 'volume' && mount.volume === volume.name),
          );
        const Size = await this.#host.volumes.bytes(volume.name);
        const UsageData = { RefCount: used.length, Size };
        return { ...(await this.volumes.inspect(volume.name)), UsageData };
      }),
    );
    return {
      LayersSize: this.#host.images.list().reduce((sum, { size }) => sum + size, 0),
      Images,
      Containers: await this.containers.list({ all: true, size: true }),
      Volumes,
      BuildCache: [],
    };
  }

  /** Stops following: timers and watchers. Containers keep running for the next engine. */
  close(): void {
    this.#supervisor.close();
    this.#host.records.close();
  }
}

/**
 * Opens the engine of this host: finds running containers again, records what ended meanwhile, removes what was half
 * made and starts what its restart policy wants up.
 */
export async function createEngine(options: EngineOptions): Promise<Engine> {
  const clock = options.clock ?? systemClock;
  const random = options.random ?? systemRandom;
  const log = options.log ?? silentLogger;
  const { dataDir, runDir, runtime, network, bridgeSubnet } = options;
  await mkdir(dataDir, { recursive: true, mode: 0o711 });
  await ensureTmpfs(join(runDir, 'secrets'));
  dropStaleLease(runDir);
  const volumes = new VolumeStore(join(dataDir, 'volumes'), random);
  await volumes.open();
  const file = join(dataDir, 'networks.json');
  const networks = new LocalNetworks({ file, random, network, bridgeSubnet });
  await networks.open();
  const host: Host = {
    options,
    runtime,
    network,
    cluster: options.cluster,
    clock,
    random,
    log,
    volumes,
    networks,
    images: await ImageStore.open(join(dataDir, 'images')),
    records: new RecordStore(join(dataDir, 'containers'), { log, clock }),
    registry: new Registry(),
    events: new EventLog(clock),
  };
  const supervisor: Supervisor = new Supervisor(host, (container) =>
    removeContainer(host, supervisor, container, { force: false, volumes: true }),
  );
  await adoptContainers(host, supervisor);
  const engine = new Engine(host, supervisor);
  engine.tasks.open();
  return engine;
}
