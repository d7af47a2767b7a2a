/** Many agents in one process: real certificates, connections and sessions; tasks run as soon as they are assigned. */
import { setTimeout as pause } from 'node:timers/promises';
import { createCertificateRequest, identityOf } from '../../pkg/ca/index.ts';
import { compareTaskState, type InstantMs, type NodeDescription } from '../../pkg/model/index.ts';
import {
  type AgentSession,
  Credentials,
  openSession,
  RpcClient,
  requestCertificate,
  type TaskAssignment,
  type TaskStatusReport,
} from '../../pkg/rpc/index.ts';

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
}

const AT_A_TIME = 20;
const HEARTBEAT_MS = 1000;
const TELL_MS = 20;
const READY_MS = 30_000;
const RETRY_MS = 500;
const counts = { joined: 0, assigned: 0, messages: 0, sessions: 0 };
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
    agent.run(first, resolve).catch((error: unknown) => {
      process.stderr.write(`agent ${number}: ${String(error)}\n`);
      process.exit(1);
    });
  });
  counts.joined += 1;
}

/** Has a session with whichever manager leads until it is told to fall silent. */
class LightAgent {
  readonly #number: number;
  readonly #credentials: Credentials;
  readonly #told = new Set<string>();
  #silent = false;
  #session: AgentSession | undefined;

  constructor(number: number, credentials: Credentials) {
    this.#number = number;
    this.#credentials = credentials;
  }

  async run(first: string, onWelcome: () => void): Promise<void> {
    let leader: string | undefined = first;
    for (let turn = this.#number; !this.#silent; turn++) {
      const address = leader ?? managers[turn % managers.length] ?? first;
      const client = RpcClient.connect(address, this.#credentials);
      try {
        await client.ready(READY_MS);
        leader = await this.#converse(openSession(client), onWelcome);
      } catch {
        leader = undefined;
      }
      client.close();
      if (leader === undefined) await pause(RETRY_MS * (0.5 + Math.random()));
    }
  }

  fallSilent(): void {
    this.#silent = true;
    this.#session?.cancel();
  }

  /** Until the manager ends the session. @returns the leader that it named instead */
  async #converse(session: AgentSession, onWelcome: () => void): Promise<string | undefined> {
    this.#session = session;
    const number = this.#number;
    const address = `10.200.${number >> 8}.${number & 255}`;
    session.send({ kind: 'register', description: describe(`node${number}`), address });
    let timer: NodeJS.Timeout | undefined;
    let report = 0;
    try {
      for await (const message of session) {
        counts.messages += 1;
        if (message.kind === 'redirect') return message.leader || undefined;
        if (message.kind === 'welcome') {
          timer ??= setInterval(() => session.send({ kind: 'heartbeat' }), HEARTBEAT_MS);
          counts.sessions += 1;
          onWelcome();
        }
        if (message.kind !== 'assignments') continue;
        session.send({ kind: 'acknowledge', sequence: message.sequence });
        const statuses = message.changes.tasks.flatMap((one) => statusOf(one, this.#told));
        if (statuses.length === 0) continue;
        report += 1;
        session.send({ kind: 'report', number: report, statuses });
      }
    } finally {
      clearInterval(timer);
    }
    return undefined;
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
