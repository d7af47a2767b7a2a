import { arch, cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { bringVolume, Drivers, followDrivers, takeVolumeAway } from '../../pkg/csi/index.ts';
import type { TaskEngine } from '../../pkg/engine/index.ts';
import type { Clock, Logger, Random } from '../../pkg/io/index.ts';
import type { NodeDescription, NodeDriver, NodeRole } from '../../pkg/model/index.ts';
import type { HostNetwork } from '../../pkg/overlaynet/index.ts';
import type { Credentials } from '../../pkg/rpc/index.ts';
import {
  type Attachments,
  BackSoon,
  connectManager,
  type ManagerLink,
  recordFile,
  Volumes,
  Worker,
} from '../../pkg/worker/index.ts';
import { type DeviceOffer, devicesOf } from './device-offer.ts';
import type { ClusterWork } from './node-control.ts';
import type { NodeRecord } from './node-record.ts';

export interface WorkOptions {
  readonly dataDir: string;
  readonly hostname: string;
  /** `key=value` */
  readonly labels: readonly string[];
  readonly offer: DeviceOffer;
  readonly version: string;
  readonly engine: TaskEngine;
  readonly network: HostNetwork;
  readonly attachments: Attachments;
  /** host:port of managers to try beside those heard of. */
  readonly managers: readonly string[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly onManagers: (addresses: readonly string[]) => void;
  readonly onRole: (role: NodeRole) => void;
}

const NANO_CPUS = 1e9;
const PLUGINS: NodeDescription['plugins'] = [
  { type: 'Log', name: 'json-file' },
  { type: 'Network', name: 'bridge' },
  { type: 'Network', name: 'host' },
  { type: 'Network', name: 'null' },
  { type: 'Network', name: 'overlay' },
  { type: 'Volume', name: 'local' },
];

/** The worker of this host, running while the host is in a cluster. */
export class HostWork implements ClusterWork {
  readonly #options: WorkOptions;
  readonly #drivers: Drivers;
  #worker: Worker | undefined;
  /** Storage drivers that answer. */
  #csi: readonly NodeDriver[] = [];
  #abort = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(options: WorkOptions) {
    this.#options = options;
    this.#drivers = new Drivers(join(options.dataDir, 'csi'));
  }

  async start(credentials: Credentials, record: NodeRecord): Promise<void> {
    const { dataDir, offer, engine, network, attachments, clock, random, log, onManagers, onRole } =
      this.#options;
    network.become({
      nodeId: credentials.identity.nodeId,
      underlayAddress: record.dataPathAddress,
    });
    const own = credentials.identity.role === 'manager' ? [`127.0.0.1:${record.listenPort}`] : [];
    this.#abort = new AbortController();
    this.#worker = new Worker({
      credentials,
      connect: (address): ManagerLink => connectManager(address, credentials),
      engine,
      network,
      attachments,
      volumes: this.#volumes(),
      clock,
      random,
      log,
      records: recordFile(join(dataDir, 'worker')),
      managers: [...own, ...this.#options.managers, ...record.managers],
      description: (): NodeDescription => this.#description(),
      devicesOf: (held): readonly string[] => devicesOf(offer, held),
      address: record.dataPathAddress,
      onManagers,
      onRole,
    });
    this.#running = Promise.all([
      this.#worker.run(this.#abort.signal),
      this.#followDrivers(this.#abort.signal),
    ]).then(
      () => undefined,
      (error: unknown) => log.error('following the cluster failed', { error }),
    );
    await Promise.resolve();
  }

  async stop({ forget }: { readonly forget: boolean }): Promise<void> {
    const worker = this.#worker;
    this.#abort.abort(forget ? new Error('this host leaves the cluster') : new BackSoon());
    await this.#running;
    this.#worker = undefined;
    if (forget && worker) await worker.removeEverything();
    this.#drivers.close();
  }

  #volumes(): Volumes {
    const { dataDir, clock, log } = this.#options;
    const drivers = this.#drivers;
    return new Volumes({
      directory: join(dataDir, 'cluster-volumes'),
      drivers: {
        bring: (name, volume, paths): Promise<void> =>
          bringVolume(drivers.get(name), volume, paths),
        takeAway: (name, handle, paths): Promise<void> =>
          takeVolumeAway(drivers.get(name), handle, paths),
      },
      clock,
      log,
    });
  }

  #followDrivers(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#options;
    const onChange = (present: readonly NodeDriver[]): void => {
      this.#csi = present;
      this.#worker?.describe();
    };
    return followDrivers({ drivers: this.#drivers, onChange, clock, log, signal });
  }

  #description(): NodeDescription {
    const { hostname, labels, offer, version, network } = this.#options;
    const { canEncrypt, hasIpv6 } = network.abilities();
    const pairs = labels.map((label): [string, string] => {
      const at = label.indexOf('=');
      return at < 0 ? [label, ''] : [label.slice(0, at), label.slice(at + 1)];
    });
    return {
      hostname,
      os: 'linux',
      architecture: arch() === 'x64' ? 'x86_64' : arch() === 'arm64' ? 'aarch64' : arch(),
      nanoCpus: cpus().length * NANO_CPUS,
      memoryBytes: totalmem(),
      engineVersion: version,
      engineLabels: Object.fromEntries(pairs),
      plugins: PLUGINS,
      genericResources: offer.resources,
      canEncrypt,
      ...(this.#csi.length > 0 && { csi: this.#csi }),
      ...(!hasIpv6 && { lacksIpv6: true }),
    };
  }
}
