import type { NetworkId, NodeId, NodeRole } from '../model/index.ts';
import type { AssignmentChanges, ManagerMessage, ManagerSession } from '../rpc/index.ts';
import {
  type AssignmentSet,
  diffAssignments,
  EMPTY_SET,
  type KnownTable,
  withTables,
} from './assignments.ts';
import type { Reporter } from './status.ts';

const NOTHING_REMOVED = {
  removedTasks: [],
  removedSecrets: [],
  removedConfigs: [],
  removedNetworks: [],
  removedVolumes: [],
};

/** One agent's stream: what it was told, and what it acknowledged. */
export class Session implements Reporter {
  readonly id: string;
  readonly nodeId: NodeId;
  /** The agent's process; empty when it does not say. */
  readonly agentRun: string;
  readonly over: Promise<void>;
  readonly #stream: ManagerSession;
  readonly #isCurrent: (session: Session) => boolean;
  readonly #tableSequences = new Map<NetworkId, number>();
  #finish: () => void = () => undefined;
  #known: AssignmentSet = EMPTY_SET;
  #sequence = 0;
  #acknowledged = 0;
  #managers = '';
  #role: NodeRole | undefined;

  constructor(options: {
    readonly id: string;
    readonly nodeId: NodeId;
    readonly agentRun: string;
    readonly stream: ManagerSession;
    readonly isCurrent: (session: Session) => boolean;
  }) {
    this.id = options.id;
    this.nodeId = options.nodeId;
    this.agentRun = options.agentRun;
    this.#stream = options.stream;
    this.#isCurrent = options.isCurrent;
    this.over = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  acknowledge(sequence: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, Math.min(sequence, this.#sequence));
  }

  isCurrent(): boolean {
    return this.#isCurrent(this);
  }

  reported(number: number): void {
    this.send({ kind: 'reported', number });
  }

  send(message: ManagerMessage): void {
    this.#stream.send(message);
  }

  /** Where the agent can look for a leader; sent when it is news. */
  tellManagers(addresses: readonly string[]): void {
    const text = addresses.join(' ');
    if (text === this.#managers) return;
    this.#managers = text;
    this.send({ kind: 'managers', addresses });
  }

  /** What the cluster wants the node to be; sent when it is news. */
  tellRole(role: NodeRole): void {
    if (role === this.#role) return;
    this.#role = role;
    this.send({ kind: 'role', role });
  }

  /** Everything at first, then differences only; nothing when there is no difference. */
  assign(set: AssignmentSet): void {
    const complete = this.#sequence === 0;
    const difference = diffAssignments(this.#known, set);
    if (!difference && !complete) return;
    this.#sequence += 1;
    this.#known = set;
    const changes = difference ?? NO_CHANGES;
    for (const { networkId } of [...changes.networks, ...changes.networkPatches]) {
      this.#tableSequences.set(networkId, this.#sequence);
    }
    for (const networkId of changes.removedNetworks) this.#tableSequences.delete(networkId);
    this.send({ kind: 'assignments', sequence: this.#sequence, complete, changes });
  }

  /** As `assign`, where nothing but network tables can be new. */
  assignTables(tableOf: (id: NetworkId) => KnownTable | undefined): void {
    this.assign(withTables(this.#known, tableOf));
  }

  holdsNetwork(id: NetworkId): boolean {
    return this.#tableSequences.has(id);
  }

  /** Sequence of the newest message that carried the table of any of these networks; undefined when it holds none. */
  tableSequence(networks: readonly NetworkId[]): number | undefined {
    const found = networks.flatMap((id) => this.#tableSequences.get(id) ?? []);
    return found.length === 0 ? undefined : Math.max(...found);
  }

  /** Ends the stream; the agent looks for the leader again. */
  close(): void {
    this.#finish();
  }
}

const NO_CHANGES: AssignmentChanges = {
  tasks: [],
  secrets: [],
  configs: [],
  networks: [],
  networkPatches: [],
  volumes: [],
  ...NOTHING_REMOVED,
};
