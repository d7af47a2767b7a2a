/** Many agents in one process: real certificates, connections and sessions; tasks run as soon as they are assigned. */
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
      readonly leader: string;
      readonly rootPem: string;
      readonly token: string;
    }
  /** The last agent falls silent. */
  | { readonly order: 'drop' };

export interface AgentsAnswer {
  readonly joined: number;
  /** Tasks that agents were told to run, ever. */
  readonly assigned: number;
  readonly messages: number;
}

const AT_A_TIME = 20;
const HEARTBEAT_MS = 1000;
const TELL_MS = 20;
const READY_MS = 30_000;
const counts = { joined: 0, assigned: 0, messages: 0 };
const sessions: { readonly session: AgentSession; readonly timer: NodeJS.Timeout }[] = [];

async function joinAll(order: AgentsOrder & { readonly order: 'join' }): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < order.count) await join(order, next++);
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
}

async function join(
  { leader, rootPem, token }: AgentsOrder & { readonly order: 'join' },
  number: number,
): Promise<void> {
  const { csrPem, keyPem } = await createCertificateRequest();
  const issued = await requestCertificate({ address: leader, rootPem, csrPem, token });
  const credentials = new Credentials(
    identityOf({ certificatePem: issued.certificatePem, keyPem, rootPem: issued.rootPem }),
  );
  const client = RpcClient.connect(leader, credentials);
  await client.ready(READY_MS);
  const session = openSession(client);
  const address = `10.200.${number >> 8}.${number & 255}`;
  session.send({ kind: 'register', description: describe(`node${number}`), address });
  await new Promise<void>((resolve, reject) => {
    follow(session, resolve).catch(reject);
  });
  counts.joined += 1;
}

async function follow(session: AgentSession, onWelcome: () => void): Promise<void> {
  let report = 0;
  const told = new Set<string>();
  for await (const message of session) {
    counts.messages += 1;
    if (message.kind === 'welcome') {
      const timer = setInterval(() => session.send({ kind: 'heartbeat' }), HEARTBEAT_MS);
      sessions.push({ session, timer });
      onWelcome();
    }
    if (message.kind !== 'assignments') continue;
    session.send({ kind: 'acknowledge', sequence: message.sequence });
    const statuses = message.changes.tasks.flatMap((one) => statusOf(one, told));
    if (statuses.length === 0) continue;
    report += 1;
    session.send({ kind: 'report', number: report, statuses });
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

function drop(): void {
  const last = sessions.pop();
  if (!last) return;
  clearInterval(last.timer);
  last.session.cancel();
}

process.on('message', (order: AgentsOrder) => {
  if (order.order === 'drop') drop();
  else {
    joinAll(order).catch((error: unknown) => {
      process.stderr.write(`agents: ${String(error)}\n`);
      process.exit(1);
    });
  }
});
setInterval(() => process.send?.({ ...counts } satisfies AgentsAnswer), TELL_MS);
