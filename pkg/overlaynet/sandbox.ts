import type { Logger } from '../io/index.ts';
import type { NetworkTable } from '../model/index.ts';
import { AppliedRulesets } from './applied-rulesets.ts';
import { describeTable } from './describe-difference.ts';
import { desiredSandbox, type SandboxContext } from './desired.ts';
import { Destinations } from './destinations.ts';
import { ContainerDns, DNS_ADDRESS, type DnsSources } from './dns.ts';
import type { DnsForwarder } from './dns-forward.ts';
import { addressWithoutPrefix } from './expression.ts';
import { IPV4, IPV6 } from './family.ts';
import { COUNT_PACKETS } from './forget-connections.ts';
import { datagramReplyRuleset } from './ingress.ts';
import type { Kernel, Namespace } from './kernel/kernel.ts';
import { isLeavingTable, isPolicyTable, policyTableName, tableName } from './name.ts';
import type { Overlay } from './overlay.ts';
import { differences, ensureSysctls, reconcile } from './reconcile.ts';
import type { Attachment, SandboxRecord } from './record.ts';
import type { Ruleset } from './ruleset.ts';
import { addressesOn } from './wiring.ts';

/** IPv6 only where a network gives addresses; a container's neighbours do not configure it, nor it itself. */
const IPV6_SYSCTLS = {
  'net/ipv6/conf/default/disable_ipv6': '1',
  'net/ipv6/conf/default/addr_gen_mode': '1',
  'net/ipv6/conf/default/accept_ra': '0',
} as const;

/**
 * Loose reverse-path filtering is not enough for answers by another way than the question came; the other two are
 * what Docker sets so that images need no privilege for port 80 and ping.
 */
const SANDBOX_SYSCTLS = {
  'net/ipv4/conf/all/rp_filter': '0',
  'net/ipv4/conf/default/rp_filter': '0',
  ...IPV6_SYSCTLS,
  'net/ipv4/ip_unprivileged_port_start': '0',
  'net/ipv4/ping_group_range': '0 2147483647',
  [COUNT_PACKETS]: '1',
} as const;

/** One container's namespace, held open until the container is detached. */
export class Sandbox {
  readonly namespace: Namespace;
  readonly rulesets: AppliedRulesets;
  readonly destinations: Destinations;
  #record: SandboxRecord;
  #dns: ContainerDns | undefined;
  #datagramReplies: readonly Ruleset[] | undefined;
  #closed = false;
  /** Tables in the kernel that say who may open connections. */
  readonly #policies: Set<string>;

  constructor(kernel: Kernel, record: SandboxRecord) {
    this.namespace = kernel.open(record.spec.netns);
    this.rulesets = new AppliedRulesets(this.namespace);
    this.destinations = new Destinations(this.namespace, this.rulesets);
    this.#record = record;
    const before = this.namespace.tables();
    this.#policies = new Set(before.filter(isPolicyTable));
    for (const table of before.filter(isLeavingTable)) this.rulesets.discard(table);
    ensureSysctls(this.namespace, SANDBOX_SYSCTLS);
  }

  get record(): SandboxRecord {
    return this.#record;
  }

  get id(): string {
    return this.#record.spec.containerId;
  }

  /** Until it is closed. */
  get isLive(): boolean {
    return !this.#closed;
  }

  get attachments(): readonly Attachment[] {
    return this.#record.attachments;
  }

  change(record: SandboxRecord): void {
    const kept = new Set(record.attachments.map(({ networkId }) => networkId));
    for (const { networkId } of this.attachments) {
      if (kept.has(networkId)) continue;
      for (const family of [IPV4, IPV6]) {
        this.rulesets.remove(family.tableOf(tableName(networkId)));
        this.#removePolicy(family.tableOf(policyTableName(networkId)));
      }
    }
    this.#record = record;
    this.#datagramReplies = undefined;
  }

  /** The rules that the mesh's network needs where backends see their clients. */
  followMesh({ table, returnPaths }: Overlay): void {
    for (const ruleset of [...returnPaths, ...this.#repliesOf(table)]) this.rulesets.apply(ruleset);
  }

  /** Where datagrams of the mesh are delivered, see `datagramReplyRuleset`; the same objects until the wiring changes. */
  #repliesOf(ingress: NetworkTable): readonly Ruleset[] {
    const way = this.attachments.find(({ kind }) => kind !== 'overlay');
    const addresses = way ? addressesOn(way).map(addressWithoutPrefix) : [];
    this.#datagramReplies ??= [IPV4, IPV6]
      .filter((family) => family === IPV4 || addresses.some(family.has))
      .map((family) => datagramReplyRuleset(ingress, addresses.find(family.has), family));
    return this.#datagramReplies;
  }

  /** The rules of one of its overlays, but for the mesh's. */
  follow(overlay: Overlay): void {
    const { networkId } = overlay.table;
    for (const { family, ruleset } of overlay.virtualIps) {
      this.destinations.keep(family);
      this.rulesets.apply(ruleset);
    }
    const attachment = this.attachments.find((one) => one.networkId === networkId);
    const policies = attachment ? overlay.policiesOf(attachment) : [];
    for (const policy of policies) {
      this.rulesets.apply(policy);
      this.#policies.add(policy.table);
    }
    if (policies.length > 0) return;
    for (const { tableOf } of [IPV4, IPV6]) this.#removePolicy(tableOf(policyTableName(networkId)));
  }

  /** Also one that an agent before put there. */
  #removePolicy(table: string): void {
    if (this.#policies.delete(table)) this.rulesets.discard(table);
  }

  isOn(networkId: string): boolean {
    return this.attachments.some((attachment) => attachment.networkId === networkId);
  }

  reconcile(context: SandboxContext): number {
    for (const { link, address6 } of this.attachments) {
      if (address6 === undefined) continue;
      ensureSysctls(this.namespace, { [`net/ipv6/conf/${link}/disable_ipv6`]: '0' });
    }
    return reconcile(this.namespace, desiredSandbox(context));
  }

  /** Where the container's namespace is not as it should be. */
  differences(context: SandboxContext): readonly string[] {
    const tables = this.rulesets.broken().map(describeTable);
    return [...differences(this.namespace, desiredSandbox(context)), ...tables];
  }

  async serveDns(sources: DnsSources, forwarder: DnsForwarder): Promise<void> {
    const { dns, ruleset } = await ContainerDns.open(this.namespace, sources, forwarder);
    this.#dns = dns;
    this.rulesets.apply(ruleset);
    // Questions asked of an agent before are asked again by the same socket, and would go where that one listened.
    const answeredBy = new Set([DNS_ADDRESS]);
    this.namespace.forgetConnections(this.namespace.connections({ answeredBy }));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#dns?.close();
    this.namespace[Symbol.dispose]();
  }
}

/**
 * Opens the recorded containers that still live.
 * @param live network namespace by container id
 */
export function adoptSandboxes(
  kernel: Kernel,
  records: readonly SandboxRecord[],
  live: ReadonlyMap<string, string>,
): { readonly adopted: readonly Sandbox[]; readonly gone: readonly string[] } {
  const adopted: Sandbox[] = [];
  const gone: string[] = [];
  for (const record of records) {
    const { spec } = record;
    const netns = live.get(spec.containerId);
    const sandbox = netns && openIfAlive(kernel, { ...record, spec: { ...spec, netns } });
    if (sandbox) adopted.push(sandbox);
    else gone.push(spec.containerId);
  }
  return { adopted, gone };
}

/** Undefined when the container ended a moment ago. */
function openIfAlive(kernel: Kernel, record: SandboxRecord): Sandbox | undefined {
  try {
    return new Sandbox(kernel, record);
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Work on a container that may fail: what one did to its own namespace stops neither the others nor the host. */
export function attemptsOn(log: Logger): (sandbox: Sandbox, work: () => unknown) => void {
  return (sandbox, work) => {
    try {
      work();
    } catch (error) {
      log.warn('container not wired as it should be', { container: sandbox.id, error });
    }
  };
}
