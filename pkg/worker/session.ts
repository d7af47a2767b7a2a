import { type Clock, type Logger, newObjectId, type Random, sleep } from '../io/index.ts';
import { errorMessage, type NodeDescription } from '../model/index.ts';
import type { AgentSession, Credentials, ManagerMessage } from '../rpc/index.ts';
import { Connections } from './connections.ts';
import { Inquiry } from './inquiry.ts';
import type { ManagerLink } from './manager-link.ts';
import { Watchdog } from './watchdog.ts';

/** Who takes part in the conversation on the agent's side. */
export interface SessionHandlers {
  /** The leader knows this node now. */
  began(session: AgentSession, link: ManagerLink): void;
  ended(): void;
  message(message: ManagerMessage, session: AgentSession): void;
  /** The leader heard this node at `atMs` (`leaseTimeMs`) or later. */
  known(atMs: number): void;
}

export interface SessionOptions {
  readonly credentials: Credentials;
  /** Begins a connection to the manager at host:port. */
  readonly connect: (address: string) => ManagerLink;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** host:port of managers to try. */
  readonly managers: () => readonly string[];
  /** … when none of those leads or knows who does. */
  readonly formerManagers: () => readonly string[];
  readonly description: () => NodeDescription;
  /** Underlay address of this node; empty: as the manager sees it. */
  readonly address: string;
  readonly leaseTimeMs: () => number;
  readonly handlers: SessionHandlers;
}

interface RunOptions extends SessionOptions {
  /** Tells the leader that this is still the process that it knew. */
  readonly agentRun: string;
  readonly connections: Connections;
}

const BACKOFF_FIRST_MS = 100;
const BACKOFF_MAX_MS = 2_000;
const REDIRECTS_MAX = 3;

/**
 * Keeps a session with whichever manager leads, for ever. Each round asks every manager once, and the leader that one
 * names; between rounds it pauses, 0.1 s at first and up to 2 s while no manager answers at all.
 */
export async function keepSession(options: SessionOptions, signal: AbortSignal): Promise<void> {
  const { clock, random } = options;
  const connections = new Connections(options);
  const run = { ...options, agentRun: newObjectId(random), connections };
  const forget = options.credentials.onReplace(() => connections.close());
  let backoffMs = BACKOFF_FIRST_MS;
  while (!signal.aborted) {
    const answered = await oneRound(run, signal);
    if (answered) backoffMs = BACKOFF_FIRST_MS;
    await sleep(clock, backoffMs * (0.5 + random.float() * 0.5), signal).catch(() => undefined);
    backoffMs = Math.min(backoffMs * 2, BACKOFF_MAX_MS);
  }
  forget();
  connections.close();
}

/** Whether any manager answered. Ends early after a session: its end says that leadership may have moved. */
async function oneRound(options: RunOptions, signal: AbortSignal): Promise<boolean> {
  const managers = options.managers();
  const first = Math.floor(options.random.float() * managers.length);
  const known = [...managers.slice(first), ...managers.slice(0, first)];
  const queue = [...options.connections.inOrder(known), ...options.formerManagers()];
  let answered = false;
  let redirects = 0;
  for (let address = queue.shift(); address !== undefined; address = queue.shift()) {
    if (signal.aborted) break;
    const outcome = await oneSession(address, options, signal);
    answered ||= outcome.answered;
    // Also at the end of a session: who led until now may be the only one that knows the next.
    if (outcome.leader !== undefined && redirects < REDIRECTS_MAX) {
      redirects += 1;
      queue.unshift(outcome.leader);
    } else if (outcome.began) {
      break;
    }
  }
  return answered;
}

interface Outcome {
  /** A manager spoke. */
  readonly answered: boolean;
  /** There was a session. */
  readonly began: boolean;
  /** Where to go instead. */
  readonly leader: string | undefined;
}

async function oneSession(
  address: string,
  options: RunOptions,
  signal: AbortSignal,
): Promise<Outcome> {
  const { credentials, connections, handlers, log, clock, leaseTimeMs } = options;
  let link: ManagerLink | undefined;
  let answered = false;
  let began = false;
  let leader: string | undefined;
  let next: string | undefined;
  let forget = (): void => undefined;
  try {
    const reached = await connections.reach(address);
    link = reached;
    answered = true;
    const session = reached.openSession();
    // With a new certificate the node registers anew: its role may be another one.
    forget = credentials.onReplace(() => session.cancel());
    using inquiry = new Inquiry(options, address, (other) => {
      next = other;
      session.cancel();
    });
    using watchdog = new Watchdog(
      {
        session,
        clock,
        leaseTimeMs,
        known: (atMs): void => handlers.known(atMs),
        onDoubt: (): void => inquiry.ask(),
        onTrust: (): void => connections.close(),
      },
      signal,
    );
    leader = await converse(session, options, watchdog, ({ heartbeatMs, sessionId }) => {
      began = true;
      watchdog.beatEvery(heartbeatMs);
      log.info('session began', { manager: address, session: sessionId });
      connections.close();
      handlers.began(session, reached);
    });
  } catch (error) {
    connections.lost(address);
    if (!signal.aborted) log.info('manager lost', { manager: address, error: errorMessage(error) });
  } finally {
    forget();
    if (began) handlers.ended();
    link?.close();
  }
  return { answered, began, leader: leader ?? next };
}

type Welcome = Extract<ManagerMessage, { kind: 'welcome' }>;

/** Until the manager ends the session; returns the leader it named, if it does not lead itself. */
async function converse(
  session: AgentSession,
  { description, address, agentRun, handlers }: RunOptions,
  watchdog: Watchdog,
  onWelcome: (welcome: Welcome) => void,
): Promise<string | undefined> {
  session.send({ kind: 'register', description: description(), address, agentRun });
  for await (const message of session) {
    watchdog.heard();
    if (message.kind === 'alive') watchdog.answered();
    if (message.kind === 'redirect') return message.leader || undefined;
    if (message.kind === 'welcome') onWelcome(message);
    else handlers.message(message, session);
  }
  return undefined;
}
