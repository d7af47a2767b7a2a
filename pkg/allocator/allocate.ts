import {
  type Attachment,
  type Change,
  canonicalJson,
  type DeciderInput,
  DraftTables,
  findPortConflict,
  type IpBlock,
  inSteps,
  must,
  type Network,
  type NetworkAttachment,
  type Node,
  parseIpBlock,
  portConflictText,
  removeObject,
  type Service,
  type Task,
  updateObject,
} from '../model/index.ts';
import { AddressBook } from './address-book.ts';
import { allocatePorts, type PortsInUse, portKey } from './port.ts';
import { allocateSubnets } from './subnet.ts';
import { allocateVirtualIps, memberships } from './vip.ts';
import { allocateVni } from './vni.ts';

const TASKS_PER_STEP = 50;

/**
 * Give everything that waits for it its place: networks a subnet and an identifier, services their virtual addresses
 * and published ports, new tasks their addresses (`new` → `pending`), nodes their address in the ingress network.
 */
export const decideAllocation = inSteps(function* decideAllocation(input) {
  const pass = new AllocationPass(input);
  pass.networks();
  pass.services();
  pass.nodes();
  pass.attachments();
  yield* pass.tasks();
  return { changes: pass.changes };
});

/** The steps of one pass; each sees what the ones before gave away. */
class AllocationPass {
  readonly #input: DeciderInput;
  readonly #draft: DraftTables;
  readonly #refusals = new Map<string, string>();
  readonly #book: AddressBook;

  constructor(input: DeciderInput) {
    this.#input = input;
    this.#draft = new DraftTables(input.view);
    this.#book = new AddressBook(this.#draft);
  }

  get changes(): readonly Change[] {
    return this.#draft.changes;
  }

  networks(): void {
    for (const network of [...this.#draft.list('network')]) {
      if (network.vni === 0 && !network.removing && isOverlay(network)) this.#network(network);
    }
  }

  services(): void {
    const waiting = [...this.#draft.list('service')].filter(
      (service) => service.allocatedVersion !== service.specVersion,
    );
    if (waiting.length === 0) return;
    const inUse = this.#portsInUse();
    for (const service of waiting) this.#service(service, inUse);
  }

  nodes(): void {
    const ingress = this.#ingress();
    if (!ingress || ingress.vni === 0) return;
    for (const node of [...this.#draft.list('node')]) {
      if (node.ingressAddress === undefined) this.#node(node, ingress);
    }
  }

  *tasks(): Generator<void, void> {
    let seen = 0;
    for (const task of this.#input.view.waitingTasks()) {
      if (++seen % TASKS_PER_STEP === 0) yield;
      if (task.status.state === 'new') this.#task(task);
    }
  }

  /** Addresses for standalone containers; what lost its node or its network is over. */
  attachments(): void {
    for (const attachment of [...this.#draft.list('attachment')]) {
      const network = this.#draft.get('network', attachment.networkId);
      if (!network || !this.#draft.get('node', attachment.nodeId)) {
        this.#write(removeObject('attachment', attachment));
      } else if (attachment.address === undefined && attachment.refusal === undefined) {
        if (network.vni !== 0) this.#attachment(attachment, network);
      }
    }
  }

  #attachment(attachment: Attachment, network: Network): void {
    const { wantedAddress, wantedAddress6 } = attachment;
    const wanted = [wantedAddress, wantedAddress6].filter((one) => one !== undefined);
    const given = this.#book.of(network).takeWanted(wanted);
    this.#write(updateObject('attachment', { ...attachment, ...outcome(given, network) }));
  }

  #network(network: Network): void {
    const others = [...this.#draft.list('network')].filter(({ vni }) => vni !== 0);
    const taken = others.flatMap(({ subnets }) =>
      subnets.map(({ subnet }): IpBlock => must(parseIpBlock(subnet), `subnet ${subnet}`)),
    );
    const answer = allocateSubnets(network.spec, this.#draft.cluster, taken);
    const vni = allocateVni(new Set(others.map((other) => other.vni)));
    if ('error' in answer || vni === undefined) return;
    this.#write(updateObject('network', { ...network, subnets: answer.subnets, vni }));
  }

  #portsInUse(): PortsInUse {
    const inUse: PortsInUse = new Set();
    for (const service of this.#draft.list('service')) {
      for (const { protocol, publishedPort } of service.endpoint.ports) {
        if (publishedPort > 0) inUse.add(portKey(protocol, publishedPort));
      }
    }
    return inUse;
  }

  #service(service: Service, inUse: PortsInUse): void {
    const refusal = this.#tryService(service, inUse);
    if (refusal !== undefined) this.#refusals.set(service.id, refusal);
  }

  /** Undefined when everything could be given. */
  #tryService(service: Service, inUse: PortsInUse): string | undefined {
    const networks = memberships(this.#draft, service.spec, this.#ingress());
    if ('error' in networks) return networks.error;
    const ports = allocatePorts(service, inUse);
    if (!ports) return 'no port left between 30000 and 32767';
    const others = this.#draft.list('service');
    const conflict = findPortConflict(allocated(others), ports, service.id);
    if (conflict) return portConflictText(conflict);
    const virtualIps = allocateVirtualIps(service, networks, this.#book);
    if (!virtualIps) return 'no address left in a network of the service';
    for (const port of ports) {
      if (port.publishedPort > 0) inUse.add(portKey(port.protocol, port.publishedPort));
    }
    const endpoint = { ports, virtualIps };
    const same = canonicalJson(endpoint) === canonicalJson(service.endpoint);
    const next: Service = {
      ...service,
      endpoint: same ? service.endpoint : endpoint,
      allocatedVersion: service.specVersion,
    };
    this.#write(updateObject('service', next));
    return undefined;
  }

  #node(node: Node, ingress: Network): void {
    const address = this.#book.of(ingress).takeIpv4();
    if (address === undefined) return;
    this.#write(updateObject('node', { ...node, ingressAddress: address }));
  }

  #task(task: Task): void {
    const service = this.#draft.get('service', task.serviceId);
    if (!service) return;
    const refusal = this.#refusals.get(service.id);
    const networks = refusal === undefined ? this.#attachments(service, task) : refusal;
    if (typeof networks === 'string') this.#refuse(task, networks);
    else {
      const status = {
        state: 'pending',
        at: this.#input.now,
        message: 'pending task scheduling',
      } as const;
      this.#write(updateObject('task', { ...task, networks, status }));
    }
  }

  #attachments(service: Service, task: Task): readonly NetworkAttachment[] | string {
    const revision = this.#draft.revision(service.id, task.specVersion);
    const networks = memberships(this.#draft, revision?.spec ?? service.spec, this.#ingress());
    if ('error' in networks) return networks.error;
    const result: NetworkAttachment[] = [];
    for (const { network, aliases } of networks) {
      const addresses = this.#book.of(network).take();
      if (addresses === undefined) {
        for (const given of result) this.#giveBack(given);
        return `no address left in network ${network.spec.Name}`;
      }
      result.push({ networkId: network.id, addresses, aliases });
    }
    return result;
  }

  #giveBack(attachment: NetworkAttachment): void {
    const network = this.#draft.get('network', attachment.networkId);
    if (network) this.#book.of(network).free(attachment.addresses);
  }

  /** The task stays `new` and says why; said once. */
  #refuse(task: Task, error: string): void {
    if (task.status.error === error) return;
    const status = { ...task.status, message: 'pending allocation', error };
    this.#write(updateObject('task', { ...task, status }));
  }

  #ingress(): Network | undefined {
    for (const network of this.#draft.list('network')) if (network.spec.Ingress) return network;
    return undefined;
  }

  #write(change: Change): void {
    const refusal = this.#draft.add(change);
    must(refusal === undefined ? true : undefined, `a change that fits (${refusal?.reason})`);
  }
}

/** What an attachment says once it was decided about. */
function outcome(
  given: ReturnType<ReturnType<AddressBook['of']>['takeWanted']>,
  { spec }: Network,
): Pick<Attachment, 'address' | 'address6' | 'refusal'> {
  if ('full' in given) return { refusal: `no address left in network ${spec.Name}` };
  if ('refused' in given) {
    return { refusal: `address ${given.refused} is not free in network ${spec.Name}` };
  }
  const [address, address6] = given.addresses;
  return { address, ...(address6 !== undefined && { address6 }) };
}

function isOverlay(network: Network): boolean {
  return (network.spec.Driver || 'overlay') === 'overlay';
}

/** Services that hold what they ask for; of two that want one port, the one that has it keeps it. */
function* allocated(services: Iterable<Service>): Iterable<Service> {
  for (const service of services) if (service.allocatedVersion !== undefined) yield service;
}
