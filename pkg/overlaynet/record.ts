import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { readJson, writeFileAtomic } from '../io/index.ts';
import type { HostPort, LocalNetwork, SandboxSpec } from './network.ts';

/** How one container is wired; interfaces keep their place for the container's life. */
export interface Attachment {
  readonly kind: 'overlay' | 'local' | 'gateway';
  /** Empty for the gateway bridge. */
  readonly networkId: string;
  /** Name in the container. */
  readonly link: string;
  /** Name of the other end. */
  readonly hostLink: string;
  /** With prefix length; the link's MAC address follows from it. */
  readonly address: string;
  /** The IPv6 address beside it, with prefix length, on a network that has both. */
  readonly address6?: string | undefined;
  readonly aliases: readonly string[];
  /** Link of the host that a macvlan hangs on; there is no other end then. */
  readonly parent?: string | undefined;
}

export interface SandboxRecord {
  readonly spec: SandboxSpec;
  readonly attachments: readonly Attachment[];
  readonly hostPorts: readonly HostPort[];
}

interface HostRecord {
  readonly localNetworks: readonly LocalNetwork[];
  /** Kernel settings of the host before we changed them. */
  readonly sysctlsBefore: Readonly<Record<string, string>>;
  /** Whether the host's links complete checksums within tunnels; absent until it was found that they do not. */
  readonly checksumOffload?: false | undefined;
  /** Paths to other hosts that take less than the link: address and MTU. */
  readonly narrowPaths?: Readonly<Record<string, number>> | undefined;
}

/** What an agent must find again after `kill -9`; lives beside the namespace pins and goes with them at a reboot. */
export class Records {
  readonly #sandboxes: string;
  readonly #host: string;
  #hostText = '';

  constructor(runDir: string) {
    this.#sandboxes = join(runDir, 'sandboxes');
    this.#host = join(runDir, 'host.json');
    mkdirSync(this.#sandboxes, { recursive: true });
  }

  sandboxes(): readonly SandboxRecord[] {
    return readdirSync(this.#sandboxes)
      .filter((name) => name.endsWith('.json'))
      .map((name) => readJson(join(this.#sandboxes, name)) as SandboxRecord);
  }

  writeSandbox(record: SandboxRecord): void {
    writeFileAtomic(this.#fileOf(record.spec.containerId), JSON.stringify(record));
  }

  removeSandbox(containerId: string): void {
    rmSync(this.#fileOf(containerId), { force: true });
  }

  readHost(): HostRecord {
    const record = readJson(this.#host) as HostRecord | undefined;
    if (record !== undefined) this.#hostText = JSON.stringify(record);
    return record ?? { localNetworks: [], sysctlsBefore: {} };
  }

  /** Writes only what differs from what is there. */
  keepHost(record: HostRecord): void {
    const text = JSON.stringify(record);
    if (text === this.#hostText) return;
    writeFileAtomic(this.#host, text);
    this.#hostText = text;
  }

  removeHost(): void {
    rmSync(this.#host, { force: true });
    rmSync(this.#sandboxes, { recursive: true, force: true });
  }

  #fileOf(containerId: string): string {
    return join(this.#sandboxes, `${containerId}.json`);
  }
}
