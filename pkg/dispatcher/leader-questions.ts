import { ClusterError, type NetworkCheck, type NetworkId } from '../model/index.ts';
import {
  type Credentials,
  checkNetwork,
  type LogReadRequest,
  type LogRecord,
  RpcClient,
  readLogs,
} from '../rpc/index.ts';
import type { Store } from '../store/index.ts';
import type { LogBroker } from './log-broker.ts';
import type { NetworkChecks } from './network-checks.ts';

export interface LeaderQuestionsOptions {
  readonly store: Pick<Store, 'leader'>;
  readonly credentials: Credentials;
  readonly logs: Pick<LogBroker, 'read'>;
  readonly checks: Pick<NetworkChecks, 'check'>;
  /** This manager leads, and knows all that was written. */
  readonly leads: () => boolean;
}

/** Questions that only the leader, who has the agents' sessions, can answer; any manager may be asked. */
export class LeaderQuestions {
  readonly #options: LeaderQuestionsOptions;

  constructor(options: LeaderQuestionsOptions) {
    this.#options = options;
  }

  /** Logs of tasks anywhere. Throws `unavailable` when there is no leader, or at the end when some logs could not be had. */
  async *logs(request: LogReadRequest, signal: AbortSignal): AsyncGenerator<LogRecord> {
    const { leads, logs } = this.#options;
    if (leads()) {
      yield* logs.read(request, signal);
      return;
    }
    const client = this.#leader();
    try {
      yield* readLogs(client, request, signal);
    } finally {
      client.close();
    }
  }

  /** What every node of a network sees of it. Throws `unavailable` when there is no leader. */
  async checkNetwork(id: NetworkId): Promise<NetworkCheck> {
    const { leads, checks } = this.#options;
    if (leads()) return await checks.check(id);
    const client = this.#leader();
    try {
      return await checkNetwork(client, id);
    } finally {
      client.close();
    }
  }

  /** For another manager that takes this one for the leader; asking on would go round in circles. */
  async *leaderLogs(request: LogReadRequest, signal: AbortSignal): AsyncGenerator<LogRecord> {
    this.#mustLead();
    yield* this.#options.logs.read(request, signal);
  }

  async leaderCheck(id: NetworkId): Promise<NetworkCheck> {
    this.#mustLead();
    return await this.#options.checks.check(id);
  }

  #leader(): RpcClient {
    const { store, credentials } = this.#options;
    const leader = store.leader();
    if (!leader) throw new ClusterError('unavailable', 'the swarm does not have a leader');
    return RpcClient.connect(leader.address, credentials);
  }

  #mustLead(): void {
    if (this.#options.leads()) return;
    throw new ClusterError('unavailable', 'the leader changes just now');
  }
}
