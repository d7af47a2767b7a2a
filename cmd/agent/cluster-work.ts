import { arch, cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import type { TaskEngine } from '../../pkg/engine/index.ts';
import type { Clock, Logger, Random } from '../../pkg/io/index.ts';
import type { NodeDescription, NodeRole } from '../../pkg/model/index.ts';
import type { HostNetwork } from '../../pkg/overlaynet/index.ts';
import type { Credentials } from '../../pkg/rpc/index.ts';
import {
  type Attachments,
  BackSoon,
  connectManager,
  type ManagerLink,
  recordFile,
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
  #worker: Worker | undefined;
  #abort = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(options: WorkOptions) {
    this.#options = options;
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
    this.#running = this.#worker.run(this.#abort.signal).catch((error: unknown) => {
      log.error('following the cluster failed', { error });
    });
    await Promise.resolve();
  }

  async stop({ forget }: { readonly forget: boolean }): Promise<void> {
    const worker = this.#worker;
    this.#abort.abort(forget ? new Error('this host leaves the cluster') : new BackSoon());
    await this.#running;
    this.#worker = undefined;
    if (forget && worker) await worker.removeEverything();
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
      ...(!hasIpv6 && { lacksIpv6: true }),
    };
  }
}
