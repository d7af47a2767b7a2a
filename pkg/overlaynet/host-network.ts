import { warmThreadPool } from 'vxlan-netlink';
import { type HostNetworkCheck, must, type NetworkTable } from '../model/index.ts';
import { Audit, type AuditedPart } from './audit.ts';
import { auditedParts } from './audited-parts.ts';
import { checkNetwork } from './check.ts';
import { type ConnectChoice, openConnectChoice } from './connect/choice.ts';
import { dnsSources } from './container-names.ts';
import { Contexts } from './contexts.ts';
import { DnsForwarder } from './dns-forward.ts';
import { Forgetting } from './forget-connections.ts';
import { type HostSide, openHostSide } from './host-side.ts';
import type { Kernel } from './kernel/kernel.ts';
import { linuxKernel } from './kernel/linux.ts';
import { LocalNetworks } from './local-networks.ts';
import type {
  AttachedInterface,
  AttachedSandbox,
  ConnectedNetwork,
  HostIdentity,
  HostNetwork,
  HostNetworkOptions,
  LocalNetwork,
  LocalNetworkSpec,
  RepairReport,
  SandboxSpec,
} from './network.ts';
import { NEW_TABLE, Overlay, removeOverlays, type TableChange } from './overlay.ts';
import { removeForgottenPins, removePins } from './pin.ts';
import { type Attachment, Records, type SandboxRecord } from './record.ts';
import { isSameList } from './same-list.ts';
import { adoptSandboxes, attemptsOn, Sandbox } from './sandbox.ts';
import { StalledConnections } from './stalled-connections.ts';
import { ownTurn } from './turns.ts';
import { Underlay } from './underlay.ts';
import { unplug, unplugAtOnce } from './unplug.ts';
import {
  addressesOf,
  chooseAttachments,
  chooseHostPorts,
  chooseOne,
  describeInterface,
  describeSandbox,
  freeLink,
  withWayOut6,
} from './wiring.ts';

/**
 * Opens the networks of the host whose namespace this process (or `options.netns`) is in. Call it once, before other
 * work: it warms the thread pool so that no thread is ever born in a foreign namespace. Reads the records in `runDir`.
 * @param kernel the real one unless a test passes another
 */
export async function createHostNetwork(
  options: HostNetworkOptions,
  kernel: Kernel = linuxKernel,
): Promise<HostNetwork> {
  await warmThreadPool();
  return new KernelHostNetwork(options, kernel);
}

class KernelHostNetwork implements HostNetwork {
  readonly #options: HostNetworkOptions;
  readonly #kernel: Kernel;
  readonly #records: Records;
  readonly #host: HostSide;
  readonly #underlay: Underlay;
  #self: HostIdentity;
  readonly #forwarder = new DnsForwarder();
  readonly #overlays = new Map<string, Overlay>();
  /** Networks in the tables given last; others stay only until their last container leaves. */
  #wanted: ReadonlySet<string> = new Set();
  /** Nothing is left of networks that are not wanted, also by an agent before. */
  #isTidy = false;
  readonly #sandboxes = new Map<string, Sandbox>();
  readonly #locals: LocalNetworks;
  /** Containers of the previous agent that nobody has spoken for yet; until then nothing is pruned. */
  #pending: readonly SandboxRecord[];
  #closed = false;
  readonly #forgetting: Forgetting;
  readonly #stalled: StalledConnections;
  readonly #connect: ConnectChoice | undefined;
  readonly #audit: Audit;
  readonly #contexts: Contexts;
  readonly #attempt: ReturnType<typeof attemptsOn>;
  readonly #onPortFailure = (error: unknown): void =>
    this.#options.log.warn('a port of a container was refused', { error });

  constructor(options: HostNetworkOptions, kernel: Kernel) {
    this.#options = options;
    this.#kernel = kernel;
    this.#forgetting = new Forgetting(kernel, options.log);
    this.#stalled = new StalledConnections(options.log);
    this.#attempt = attemptsOn(options.log);
    this.#records = new Records(options.runDir);
    const record = this.#records.readHost();
    this.#pending = this.#records.sandboxes();
    this.#host = openHostSide(kernel, options, record.sysctlsBefore, this.#onPortFailure);
    this.#audit = new Audit(options.log, kernel.watch(this.#host.namespace));
    this.#connect = openConnectChoice(kernel, this.#host.namespace, options);
    this.#self = { nodeId: options.nodeId, underlayAddress: options.underlayAddress };
    this.#underlay = new Underlay({
      namespace: this.#host.namespace,
      address: options.underlayAddress,
      mtuOf: (address): number => this.#host.mtuOf(address),
      known: record,
      overlays: this.#overlays,
      log: options.log,
      onChange: (): void => this.#settleAll(),
    });
    const { linkMtu } = this.#underlay;
    this.#locals = new LocalNetworks(record.localNetworks, this.#host.gatewaySubnets, linkMtu);
    this.#contexts = new Contexts({
      options,
      host: this.#host,
      underlay: this.#underlay,
      overlays: this.#overlays,
      sandboxes: this.#sandboxes,
      locals: this.#locals,
      self: (): HostIdentity => this.#self,
      pending: (): readonly SandboxRecord[] => this.#pending,
    });
  }

  become(self: HostIdentity): void {
    this.#self = self;
    this.#host.nodeId = self.nodeId;
    this.#underlay.moveTo(self.underlayAddress);
  }

  abilities(): ReturnType<HostNetwork['abilities']> {
    return this.#host.abilities(this.#self.underlayAddress);
  }

  applyTables(tables: readonly NetworkTable[]): ReadonlyMap<string, number> {
    const wanted = new Set(tables.map((table) => table.networkId));
    if (!this.#isTidy || !isSameList([...wanted], [...this.#wanted])) this.#removeUnwanted(wanted);
    const refusal = this.#guard(tables);
    let failure: unknown = refusal;
    for (const table of tables) {
      try {
        if (refusal !== undefined && table.encryption !== undefined) throw refusal;
        this.#applyTable(table);
      } catch (error) {
        failure ??= error;
        this.#overlays.get(table.networkId)?.forget();
      }
    }
    this.#underlay.followTables();
    if (failure !== undefined) throw failure;
    return new Map(tables.map((table) => [table.networkId, table.revision]));
  }

  async flowsForgotten(): Promise<void> {
    await this.#forgetting.done;
  }

  ensureLocalNetwork(spec: LocalNetworkSpec): LocalNetwork {
    const network = this.#locals.ensure(spec, this.#host.prefixes());
    this.#settleHost();
    return network;
  }

  removeLocalNetwork(networkId: string): void {
    const network = this.#locals.byId.get(networkId);
    if (network === undefined) return;
    this.#locals.remove(network, this.#sandboxesOn(networkId).length > 0);
    this.#host.deleteLink(network.bridge);
    this.#settleHost();
  }

  localNetworks(): readonly LocalNetwork[] {
    return this.#locals.all;
  }

  async attach(spec: SandboxSpec): Promise<AttachedSandbox> {
    await ownTurn();
    const old = this.#sandboxes.get(spec.containerId);
    if (old?.record.spec.netns === spec.netns)
      return describeSandbox(old.record, this.#contexts.description());
    // The container was started anew, in another namespace.
    if (old !== undefined) await this.detach(spec.containerId);
    const context = this.#contexts.wiring();
    const attachments = chooseAttachments(spec, context);
    const hostPorts = chooseHostPorts(spec.hostPorts ?? [], context.hostPorts, attachments);
    const record: SandboxRecord = { spec, attachments, hostPorts };
    try {
      this.#records.writeSandbox(record);
      const sandbox = new Sandbox(this.#kernel, record);
      this.#keep(sandbox);
      this.#wire(sandbox);
      await this.#serveDns(sandbox);
    } catch (error) {
      await this.detach(spec.containerId);
      throw error;
    }
    return describeSandbox(record, this.#contexts.description());
  }

  connect(containerId: string, attachment: ConnectedNetwork): AttachedInterface {
    const sandbox = must(this.#sandboxes.get(containerId), `an attached container ${containerId}`);
    const { record } = sandbox;
    const known = record.attachments.find(({ networkId }) => networkId === attachment.networkId);
    if (known !== undefined) return describeInterface(known, this.#contexts.description());
    const context = { ...this.#contexts.wiring(), link: freeLink(record.attachments) };
    const added = chooseOne(containerId, attachment, context);
    const attachments = withWayOut6([...record.attachments, added], context);
    this.#rewire(sandbox, { ...record, attachments });
    return describeInterface(added, this.#contexts.description());
  }

  disconnect(containerId: string, networkId: string): void {
    const sandbox = must(this.#sandboxes.get(containerId), `an attached container ${containerId}`);
    const { record } = sandbox;
    const leaving = (attachment: Attachment): boolean => attachment.networkId === networkId;
    const attachments = record.attachments.filter((attachment) => !leaving(attachment));
    const links = record.attachments.filter(leaving);
    unplugAtOnce(sandbox, links, this.#overlays, this.#host.namespace);
    this.#rewire(sandbox, { ...record, attachments });
  }

  inspect(containerId: string): AttachedSandbox | undefined {
    const sandbox = this.#sandboxes.get(containerId);
    return sandbox && describeSandbox(sandbox.record, this.#contexts.description());
  }

  async detach(containerId: string): Promise<void> {
    await ownTurn();
    this.#records.removeSandbox(containerId);
    const sandbox = this.#sandboxes.get(containerId);
    if (sandbox === undefined) return;
    this.#sandboxes.delete(containerId);
    this.#connect?.leave(containerId);
    this.#audit.forget(sandbox.namespace);
    await unplug(sandbox, sandbox.attachments, this.#overlays, this.#host.namespace);
    this.#removeUnwanted();
    this.#settleHost();
    const { hostPorts, attachments } = sandbox.record;
    if (hostPorts.length > 0) this.#host.forgetConnections(addressesOf(attachments));
    await sandbox.close();
  }

  async readopt(live: ReadonlyMap<string, string>): Promise<readonly string[]> {
    const { adopted, gone } = adoptSandboxes(this.#kernel, this.#pending, live);
    for (const containerId of gone) this.#records.removeSandbox(containerId);
    for (const sandbox of adopted) this.#keep(sandbox);
    this.#pending = [];
    this.#settleAll();
    for (const sandbox of adopted) this.#connect?.join(sandbox);
    for (const sandbox of adopted) await this.#serveDns(sandbox).catch(this.#onPortFailure);
    return [...live.keys()].filter((containerId) => !this.#sandboxes.has(containerId));
  }

  async repair(): Promise<RepairReport> {
    this.#underlay.follow();
    return await this.#audit.everything(this.#parts());
  }

  repairChanged(): RepairReport {
    return this.#audit.changed(() => this.#parts());
  }

  async check(networkId: string): Promise<HostNetworkCheck | undefined> {
    const overlay = this.#overlays.get(networkId);
    return await (overlay &&
      checkNetwork(overlay.table, {
        told: overlay.told,
        hub: [
          ...overlay.differences(this.#contexts.hub(overlay)),
          ...(overlay.table.ingress ? [] : (this.#connect?.differences() ?? [])),
        ],
        host: this.#host,
        sandboxes: this.#sandboxesOn(networkId),
        contextOf: (sandbox) => this.#contexts.sandbox(sandbox),
        repairs: this.#audit.total,
      }));
  }

  async dispose(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#underlay.close();
    for (const sandbox of this.#sandboxes.values()) await sandbox.close();
    for (const overlay of this.#overlays.values()) overlay.close();
    this.#connect?.close();
    this.#audit[Symbol.dispose]();
    this.#host.close();
    this.#sandboxes.clear();
    this.#overlays.clear();
  }

  async removeEverything(): Promise<void> {
    if (this.#closed) return;
    this.#underlay.close();
    this.#pending = [];
    this.#wanted = new Set();
    for (const containerId of [...this.#sandboxes.keys()]) await this.detach(containerId);
    this.#removeUnwanted();
    this.#connect?.removeEverything();
    this.#host.removeEverything(this.localNetworks());
    this.#locals.byId.clear();
    this.#audit[Symbol.dispose]();
    this.#host.close();
    this.#closed = true;
    this.#records.removeHost();
    removePins(this.#options.runDir);
  }

  #parts(): readonly AuditedPart[] {
    return auditedParts({
      overlays: this.#overlays,
      host: this.#host,
      connect: this.#connect,
      sandboxes: this.#sandboxes,
      isOpen: () => !this.#closed,
      linksDiffer: (overlay) => overlay.linksDiffer(this.#contexts.hub(overlay)),
      settleHub: (overlay) => this.#settleHub(overlay),
      settleHost: () => this.#settleHost(),
      settleSandbox: (sandbox) => this.#settleSandbox(sandbox),
      attempt: (sandbox, work) => this.#attempt(sandbox, work),
    });
  }

  /**
   * Whose frames are taken, and which only encrypted: before the ways to new peers, which answer at once. Returns why
   * encrypted networks cannot be used here.
   */
  #guard(tables: readonly NetworkTable[]): Error | undefined {
    const left = [...this.#overlays.values()].map(({ table }) => table);
    const all = [...tables, ...left.filter(({ networkId }) => !this.#wanted.has(networkId))];
    return this.#host.guard(all, this.#self.underlayAddress);
  }

  #applyTable(table: NetworkTable): void {
    const known = this.#overlays.get(table.networkId);
    const change = known === undefined ? NEW_TABLE : known.update(table);
    if (change === undefined) return;
    const overlay = known ?? new Overlay(this.#kernel, this.#options.runDir, table);
    this.#overlays.set(table.networkId, overlay);
    if (known === undefined) this.#audit.listen(overlay.namespace);
    this.#settleOverlay(overlay, change);
  }

  #settleOverlay(overlay: Overlay, change: TableChange): void {
    const { table, backends } = overlay;
    this.#connect?.withdraw(table, backends, change.touched);
    // Ways first, then the maps that send traffic there.
    if (change.moved) overlay.shift(this.#contexts.hub(overlay), change, this.#onPortFailure);
    if (table.ingress) this.#settleHost();
    const { networkId } = table;
    const affected = this.#sandboxesOn(networkId);
    for (const sandbox of affected) {
      if (table.ingress) this.#attempt(sandbox, () => this.#settleSandbox(sandbox));
      else sandbox.follow(overlay);
    }
    this.#connect?.offer(networkId, backends);
    if (change.removed.size === 0 && change.gone.size === 0) return;
    const targets = table.ingress ? [this.#host, ...affected] : affected;
    this.#forgetting.begin(targets, change);
    this.#stalled.watch(targets, change.removed, (address) => overlay.isOut(address));
  }

  #keep(sandbox: Sandbox): void {
    this.#sandboxes.set(sandbox.id, sandbox);
    this.#audit.listen(sandbox.namespace);
  }

  #wire(sandbox: Sandbox): void {
    for (const { networkId } of sandbox.attachments) {
      const overlay = this.#overlays.get(networkId);
      overlay?.plug({ ...this.#contexts.hub(overlay), sandboxes: [sandbox] });
    }
    this.#settleHost();
    this.#settleSandbox(sandbox);
    this.#connect?.join(sandbox);
  }

  #settleHub(overlay: Overlay): number {
    return overlay.reconcile(this.#contexts.hub(overlay), this.#onPortFailure);
  }

  #rewire(sandbox: Sandbox, record: SandboxRecord): void {
    this.#records.writeSandbox(record);
    sandbox.change(record);
    this.#wire(sandbox);
  }

  #settleAll(): void {
    for (const overlay of this.#overlays.values()) this.#settleHub(overlay);
    this.#settleHost();
    for (const sandbox of this.#sandboxes.values()) {
      this.#attempt(sandbox, () => this.#settleSandbox(sandbox));
    }
  }

  /** Links, routes and tables within the container; returns the number of link operations. */
  #settleSandbox(sandbox: Sandbox): number {
    const { attachments } = sandbox;
    const overlays = attachments.flatMap(({ networkId }) => this.#overlays.get(networkId) ?? []);
    const context = this.#contexts.sandbox(sandbox);
    const operations = sandbox.reconcile(context);
    for (const overlay of overlays) {
      if (!overlay.table.ingress) sandbox.follow(overlay);
      else if (overlay.table === context.ingressTable) sandbox.followMesh(overlay);
    }
    return operations;
  }

  #settleHost(): number {
    const ingress = [...this.#overlays.values()].find((overlay) => overlay.table.ingress);
    const operations = this.#host.settle({
      localNetworks: this.localNetworks(),
      sandboxes: [...this.#sandboxes.values()],
      ingress: ingress && { table: ingress.table, mtu: this.#underlay.mtuOf(ingress.table) },
      mtu: this.#underlay.linkMtu,
      prune: this.#pending.length === 0,
    });
    const { sysctlsBefore } = this.#host;
    const localNetworks = this.localNetworks();
    this.#records.keepHost({ localNetworks, sysctlsBefore, ...this.#underlay.record });
    return operations;
  }

  #serveDns(sandbox: Sandbox): Promise<void> {
    const sources = dnsSources(() => sandbox.record, {
      overlays: this.#overlays,
      locals: this.#locals,
      records: () => [...this.#sandboxes.values()].map(({ record }) => record),
      gatewaySubnet: this.#host.gatewaySubnet,
      resolver: this.#options.resolver,
    });
    return sandbox.serveDns(sources, this.#forwarder);
  }

  /** Overlays that no table names and no container uses, and pins of a previous agent's. */
  #removeUnwanted(wanted: ReadonlySet<string> = this.#wanted): void {
    [this.#wanted, this.#isTidy] = [wanted, false];
    const attachments = [...this.#sandboxes.values()].flatMap((sandbox) => sandbox.attachments);
    const keep = new Set([...this.#wanted, ...attachments.map(({ networkId }) => networkId)]);
    const removed = removeOverlays(this.#overlays, keep);
    for (const { namespace, table } of removed) {
      this.#audit.forget(namespace);
      this.#connect?.forget(table.networkId);
    }
    if (removed.some(({ table }) => table.ingress)) this.#settleHost();
    this.#isTidy = this.#pending.length === 0;
    if (this.#isTidy) removeForgottenPins(this.#kernel, this.#options.runDir, keep);
  }

  #sandboxesOn(networkId: string): readonly Sandbox[] {
    return [...this.#sandboxes.values()].filter((sandbox) => sandbox.isOn(networkId));
  }
}
