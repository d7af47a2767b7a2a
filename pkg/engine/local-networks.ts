/** The networks of this host that users make and name: `bridge`, `host`, `none` and their own bridges. */
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { newHexId, type Random } from '../io/index.ts';
import { ClusterError } from '../model/index.ts';
import type { HostNetwork, LocalAttachment, LocalNetwork } from '../overlaynet/index.ts';
import type { EndpointConfig } from './docker-shape.ts';

export interface NetworkDefinition {
  readonly id: string;
  readonly name: string;
  readonly driver: 'bridge' | 'macvlan' | 'host' | 'null';
  /** RFC 3339. */
  readonly createdAt: string;
  readonly subnet?: string | undefined;
  readonly range?: string | undefined;
  readonly gateway?: string | undefined;
  /** Present on a network with IPv6. */
  readonly ipv6?:
    | {
        readonly subnet?: string | undefined;
        readonly range?: string | undefined;
        readonly gateway?: string | undefined;
        readonly auxiliary?: Readonly<Record<string, string>> | undefined;
      }
    | undefined;
  /** Addresses kept free, by what they are for. */
  readonly auxiliary?: Readonly<Record<string, string>> | undefined;
  readonly internal: boolean;
  readonly attachable: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, string>>;
}

const PREDEFINED = [
  ['bridge', 'bridge'],
  ['host', 'host'],
  ['none', 'null'],
] as const;

export class LocalNetworks {
  readonly #file: string;
  readonly #random: Random;
  readonly #network: HostNetwork | undefined;
  readonly #bridgeSubnet: string | undefined;
  readonly #definitions = new Map<string, NetworkDefinition>();

  constructor(options: {
    readonly file: string;
    readonly random: Random;
    readonly network: HostNetwork | undefined;
    /** Of the default bridge. */
    readonly bridgeSubnet?: string | undefined;
  }) {
    this.#file = options.file;
    this.#random = options.random;
    this.#network = options.network;
    this.#bridgeSubnet = options.bridgeSubnet;
  }

  async open(): Promise<void> {
    const text = await readFile(this.#file, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '[]';
      throw error;
    });
    for (const definition of JSON.parse(text) as readonly NetworkDefinition[]) {
      this.#definitions.set(definition.id, definition);
    }
    const missing = PREDEFINED.filter(([name]) => !this.find(name));
    for (const [name, driver] of missing) {
      const subnet = name === 'bridge' ? this.#bridgeSubnet : undefined;
      this.#define({
        name,
        driver,
        subnet,
        internal: false,
        attachable: false,
        labels: {},
        options: {},
      });
    }
    if (missing.length > 0) await this.#save();
  }

  list(): readonly NetworkDefinition[] {
    return [...this.#definitions.values()];
  }

  /** By name, id or unique id prefix. */
  find(text: string): NetworkDefinition | undefined {
    const exact = this.#definitions.get(text);
    if (exact) return exact;
    const named = this.list().find(({ name }) => name === text);
    if (named || !/^[0-9a-f]{4,}$/.test(text)) return named;
    const found = this.list().filter(({ id }) => id.startsWith(text));
    return found.length === 1 ? found[0] : undefined;
  }

  /** @throws ClusterError `network x not found` */
  get(text: string): NetworkDefinition {
    const found = this.find(text);
    if (found) return found;
    throw new ClusterError('not-found', `network ${text} not found`);
  }

  async create(request: Omit<NetworkDefinition, 'id' | 'createdAt'>): Promise<NetworkDefinition> {
    if (this.list().some(({ name }) => name === request.name)) {
      throw new ClusterError('conflict', `network with name ${request.name} already exists`);
    }
    const definition = this.#define(request);
    try {
      this.ensure(definition);
    } catch (error) {
      this.#definitions.delete(definition.id);
      throw error;
    }
    await this.#save();
    return definition;
  }

  #define(request: Omit<NetworkDefinition, 'id' | 'createdAt'>): NetworkDefinition {
    const createdAt = new Date().toISOString();
    const definition = { ...request, id: newHexId(this.#random), createdAt };
    this.#definitions.set(definition.id, definition);
    return definition;
  }

  async remove(definition: NetworkDefinition): Promise<void> {
    if (PREDEFINED.some(([name]) => name === definition.name)) {
      throw new ClusterError(
        'forbidden',
        `${definition.name} is a pre-defined network and cannot be removed`,
      );
    }
    this.#network?.removeLocalNetwork(definition.id);
    this.#definitions.delete(definition.id);
    await this.#save();
  }

  /** Makes the bridge of a network in the kernel. */
  ensure(definition: NetworkDefinition): LocalNetwork {
    if (!this.#network) {
      throw new ClusterError('unavailable', 'this host has no network configured');
    }
    const mtu = definition.options['com.docker.network.driver.mtu'];
    return this.#network.ensureLocalNetwork({
      networkId: definition.id,
      name: definition.name,
      parent: definition.driver === 'macvlan' ? definition.options['parent'] : undefined,
      subnet: definition.subnet,
      range: definition.range,
      gateway: definition.gateway,
      ipv6: definition.ipv6,
      reserved: [definition.auxiliary, definition.ipv6?.auxiliary].flatMap((kept) =>
        Object.values(kept ?? {}),
      ),
      bridge: definition.options['com.docker.network.bridge.name'],
      internal: definition.internal,
      mtu: mtu === undefined ? undefined : Number(mtu),
    });
  }

  /** What the kernel holds of a network; undefined for `host`, `none` and bridges nobody used yet. */
  live(definition: NetworkDefinition): LocalNetwork | undefined {
    return this.#network?.localNetworks().find(({ networkId }) => networkId === definition.id);
  }

  /** The attachment to a bridge network, which is made if need be. */
  attachment(name: string, endpoint: EndpointConfig): LocalAttachment {
    const definition = this.get(name);
    if (definition.driver !== 'bridge' && definition.driver !== 'macvlan') {
      throw new ClusterError(
        'invalid',
        `container cannot be connected to ${definition.name} network with others`,
      );
    }
    this.ensure(definition);
    return {
      networkId: definition.id,
      address: endpoint.IPAMConfig?.IPv4Address || undefined,
      address6: endpoint.IPAMConfig?.IPv6Address || undefined,
      aliases: endpoint.Aliases ?? undefined,
    };
  }

  async #save(): Promise<void> {
    await mkdir(dirname(this.#file), { recursive: true });
    const file = await open(`${this.#file}.tmp`, 'w', 0o600);
    try {
      await file.writeFile(JSON.stringify(this.list()));
      await file.datasync();
    } finally {
      await file.close();
    }
    await rename(`${this.#file}.tmp`, this.#file);
  }
}
