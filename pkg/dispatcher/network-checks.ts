import { type Clock, shortDigest, type Timer } from '../io/index.ts';
import {
  ClusterError,
  type HostNetworkCheck,
  isTerminal,
  type NetworkCheck,
  type NetworkId,
  type NetworkTable,
  type Node,
  type NodeId,
  type NodeNetworkCheck,
  tableText,
  type View,
} from '../model/index.ts';
import type { Session } from './session.ts';

/** A node asks every address for two seconds at most; a busy one gets some more. */
const ANSWER_WITHIN_MS = 6_000;

export interface NetworkChecksOptions {
  readonly view: View;
  readonly clock: Clock;
  readonly sessions: ReadonlyMap<NodeId, Session>;
  /** What agents are told now. */
  readonly tableOf: (id: NetworkId) => NetworkTable | undefined;
}

interface Question {
  readonly nodeId: NodeId;
  readonly settle: (check: HostNetworkCheck | undefined, problem?: string) => void;
  readonly timer: Timer;
}

/** Asks the nodes of a network what they see of it. Lives on the leader. */
export class NetworkChecks {
  readonly #options: NetworkChecksOptions;
  readonly #open = new Map<number, Question>();
  #number = 0;

  constructor(options: NetworkChecksOptions) {
    this.#options = options;
  }

  /** Asks every node that takes part at once. @throws ClusterError `not-found` */
  async check(networkId: NetworkId): Promise<NetworkCheck> {
    const { view, tableOf } = this.#options;
    const table = tableOf(networkId);
    if (!table) throw new ClusterError('not-found', `network ${networkId} not found`);
    const nodes = [...view.list('node')].filter(({ id }) => this.#takesPart(id, table));
    return {
      networkId,
      name: table.name,
      digest: shortDigest(tableText(table)),
      nodes: await Promise.all(nodes.map((node) => this.#ask(node, networkId))),
    };
  }

  /** A node answered; of another's number nothing is believed. */
  answered(nodeId: NodeId, number: number, check: HostNetworkCheck | undefined): void {
    const question = this.#open.get(number);
    if (question?.nodeId !== nodeId) return;
    question.settle(check, check ? undefined : 'it has no table of the network');
  }

  /** The node's session ended: it will not answer. */
  noteSessionEnd(nodeId: NodeId): void {
    for (const question of this.#open.values()) {
      if (question.nodeId === nodeId) question.settle(undefined, 'it lost its leader');
    }
  }

  #takesPart(nodeId: NodeId, table: NetworkTable): boolean {
    const { view, sessions } = this.#options;
    if (table.ingress || sessions.get(nodeId)?.holdsNetwork(table.networkId)) return true;
    return [...view.tasksOfNetwork(table.networkId)].some(
      (task) => task.nodeId === nodeId && !isTerminal(task.status.state),
    );
  }

  async #ask(node: Node, networkId: NetworkId): Promise<NodeNetworkCheck> {
    const { id: nodeId, status, description } = node;
    const session = this.#options.sessions.get(nodeId);
    const about = { nodeId, hostname: description?.hostname ?? nodeId };
    if (!session) {
      return { ...about, acknowledged: false, problem: `the node is ${status.state}` };
    }
    const answer = await this.#question(session, networkId);
    const told = session.tableSequence([networkId]);
    return {
      ...about,
      ...answer,
      acknowledged: told !== undefined && session.acknowledged >= told,
    };
  }

  #question(
    session: Session,
    networkId: NetworkId,
  ): Promise<Pick<NodeNetworkCheck, 'check' | 'problem'>> {
    const { clock } = this.#options;
    const { nodeId } = session;
    this.#number += 1;
    const number = this.#number;
    return new Promise((resolve) => {
      const settle: Question['settle'] = (check, problem) => {
        this.#open.get(number)?.timer.cancel();
        this.#open.delete(number);
        resolve({ check, problem });
      };
      const late = `it did not answer within ${ANSWER_WITHIN_MS / 1000} s`;
      const timer = clock.after(ANSWER_WITHIN_MS, () => settle(undefined, late));
      this.#open.set(number, { nodeId, settle, timer });
      session.send({ kind: 'check-network', number, networkId });
    });
  }
}
