/** Many agents in one process: real certificates, connections and sessions; tasks run as soon as they are assigned. */
import { createCertificateRequest, identityOf } from '../../pkg/ca/index.ts';
import { silentLogger, systemClock, systemRandom } from '../../pkg/io/index.ts';
import { compareTaskState, type InstantMs, type NodeDescription } from '../../pkg/model/index.ts';
import {
  type AgentSession,
  Credentials,
  type ManagerMessage,
  requestCertificate,
  type TaskAssignment,
  type TaskStatusReport,
} from '../../pkg/rpc/index.ts';
import { connectManager, keepSession } from '../../pkg/worker/index.ts';

export type AgentsOrder =
  | {
      readonly order: 'join';
      readonly count: number;
      /** host:port; the first leads. */
      readonly managers: readonly string[];
      readonly rootPem: string;
      readonly token: string;
    }
  /** One falls silent, by the order in which they joined. */
  | { readonly order: 'drop'; readonly number: number };

export interface AgentsAnswer {
  readonly joined: number;
  /** Tasks that agents were told to run, ever. */
  readonly assigned: number;
  readonly messages: number;
  /** Sessions begun, ever. */
  readonly sessions: number;
  /** Connections to managers that were begun, ever. */
  readonly connections: number;
}

const AT_A_TIME = 20;
const TELL_MS = 20;
const counts = { joined: 0, assigned: 0, messages: 0, sessions: 0, connections: 0 };
const agents: LightAgent[] = [];
let made = 0;
let managers: readonly string[] = [];

async function joinAll(order: AgentsOrder & { readonly order: 'join' }): Promise<void> {
  managers = order.managers;
  let next = made;
  made += order.count;
  const end = made;
  const worker = async (): Promise<void> => {
    while (next < end) await join(order, next++);
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
}

async function join(
  { rootPem, token }: AgentsOrder & { readonly order: 'join' },
  number: number,
): Promise<void> {
  const [first = ''] = managers;
  const { csrPem, keyPem } = await createCertificateRequest();
  const issued = await requestCertificate({ address: first, rootPem, csrPem, token });
  const identity = { certificatePem: issued.certificatePem, keyPem, rootPem: issued.rootPem };
  const agent = new LightAgent(number, new Credentials(identityOf(identity)));
  agents.push(agent);
  await new Promise<void>((resolve) => {
    agent.run(resolve).catch((error: unknown) => {
      process.stderr.write(`agent ${number}: ${String(error)}\n`);
      process.exit(1);
    });
  });
  counts.joined += 1;
}

/** Has a session with whichever manager leads, as a real agent keeps it, until it is told to fall silent. */
class LightAgent {
  readonly #number: number;
  readonly #credentials: Credentials;
  readonly #told = new Set<string>();
  readonly #silent = new AbortController();
  #reports = 0;

  constructor(number: number, credentials: Credentials) {
    this.#number = number;
    this.#credentials = credentials;
  }

  async run(onWelcome: () => void): Promise<void> {
    const number = this.#number;
    const began = (): void => {
      counts.sessions += 1;
      this.#reports = 0;
      onWelcome();
    };
    const connect = (address: string): ReturnType<typeof connectManager> => {
      counts.connections += 1;
      return connectManager(address, this.#credentials);
    };
    await keepSession(
      {
        credentials: this.#credentials,
        connect,
        clock: systemClock,
        random: systemRandom,
        log: silentLogger,
        managers: () => managers,
        formerManagers: () => [],
        description: () => describe(`node${number}`),
        address: `10.200.${number >> 8}.${number & 255}`,
        leaseTimeMs: () => performance.now(),
        handlers: {
          began,
          ended: () => undefined,
          known: () => undefined,
          message: (message, session) => this.#hear(message, session),
        },
      },
      this.#silent.signal,
    );
  }

  fallSilent(): void {
    this.#silent.abort();
  }

  #hear(message: ManagerMessage, session: AgentSession): void {
    counts.messages += 1;
    if (message.kind !== 'assignments') return;
    session.send({ kind: 'acknowledge', sequence: message.sequence });
    const statuses = message.changes.tasks.flatMap((one) => statusOf(one, this.#told));
    if (statuses.length === 0) return;
    this.#reports += 1;
    session.send({ kind: 'report', number: this.#reports, statuses });
  }
}

function statusOf({ task }: TaskAssignment, told: Set<string>): readonly TaskStatusReport[] {
  const stopping = task.desiredState === 'shutdown' || task.desiredState === 'remove';
  const state = stopping ? 'shutdown' : 'running';
  if (!told.has(task.id)) counts.assigned += 1;
  told.add(task.id);
  if (compareTaskState(task.status.state, state) >= 0) return [];
  const status = { state, at: Date.now() as InstantMs, message: state } as const;
  return [{ taskId: task.id, status }];
}

function describe(hostname: string): NodeDescription {
  return {
    hostname,
    os: 'linux',
    architecture: 'x86_64',
    nanoCpus: 64e9,
    memoryBytes: 2 ** 37,
    engineVersion: '28.0.0',
    engineLabels: {},
    plugins: [],
  };
}

process.on('message', (order: AgentsOrder) => {
  if (order.order === 'drop') agents[order.number]?.fallSilent();
  else {
    joinAll(order).catch((error: unknown) => {
      process.stderr.write(`agents: ${String(error)}\n`);
      process.exit(1);
    });
  }
});
setInterval(() => process.send?.({ ...counts } satisfies AgentsAnswer), TELL_MS);
