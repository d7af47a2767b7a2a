import { type Clock, type Logger, type Random, sleep } from '../io/index.ts';
import { errorMessage, type NodeDescription } from '../model/index.ts';
import {
  type AgentSession,
  type Credentials,
  type ManagerMessage,
  openSession,
  RpcClient,
} from '../rpc/index.ts';

/** Who takes part in the conversation on the agent's side. */
export interface SessionHandlers {
  /** The leader knows this node now. */
  began(session: AgentSession, client: RpcClient): void;
  ended(): void;
  message(message: ManagerMessage, session: AgentSession): void;
}

export interface SessionOptions {
  readonly credentials: Credentials;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** host:port of managers to try. */
  readonly managers: () => readonly string[];
  readonly description: () => NodeDescription;
  /** Underlay address of this node; empty: as the manager sees it. */
  readonly address: string;
  readonly handlers: SessionHandlers;
}

const BACKOFF_FIRST_MS = 100;
const BACKOFF_MAX_MS = 2_000;
const CONNECT_TIMEOUT_MS = 1_500;
const HEARTBEAT_DEFAULT_MS = 1_000;
const SILENCE_HEARTBEATS = 3;
const REDIRECTS_MAX = 5;

/** Keeps a session with whichever manager leads, for ever; backs off from 0.1 to 2 s while none can be found. */
export async function keepSession(options: SessionOptions, signal: AbortSignal): Promise<void> {
  let next: string | undefined;
  let turn = Math.floor(options.random.float() * 100);
  let backoffMs = BACKOFF_FIRST_MS;
  let redirects = 0;
  while (!signal.aborted) {
    const managers = options.managers();
    const address = next ?? managers[turn % Math.max(1, managers.length)];
    turn += 1;
    const outcome = address === undefined ? FAILED : await oneSession(address, options, signal);
    if (outcome.began) {
      backoffMs = BACKOFF_FIRST_MS;
      redirects = 0;
    }
    next = outcome.leader;
    redirects += 1;
    if (next !== undefined && redirects <= REDIRECTS_MAX) continue;
    redirects = 0;
    const pause = backoffMs * (0.5 + options.random.float() * 0.5);
    await sleep(options.clock, pause, signal).catch(() => undefined);
    backoffMs = Math.min(backoffMs * 2, BACKOFF_MAX_MS);
  }
}

interface Outcome {
  readonly began: boolean;
  /** Where to go instead. */
  readonly leader: string | undefined;
}

const FAILED: Outcome = { began: false, leader: undefined };

async function oneSession(
  address: string,
  options: SessionOptions,
  signal: AbortSignal,
): Promise<Outcome> {
  const { credentials, handlers, log } = options;
  const client = RpcClient.connect(address, credentials);
  let began = false;
  let leader: string | undefined;
  try {
    await client.ready(CONNECT_TIMEOUT_MS);
    const session = openSession(client);
    using watchdog = new Watchdog(session, options, signal);
    leader = await converse(session, options, watchdog, ({ heartbeatMs, sessionId }) => {
      began = true;
      watchdog.beatEvery(heartbeatMs);
      log.info('session began', { manager: address, session: sessionId });
      handlers.began(session, client);
    });
  } catch (error) {
    if (!signal.aborted) log.info('manager lost', { manager: address, error: errorMessage(error) });
  } finally {
    if (began) handlers.ended();
    client.close();
  }
  return { began, leader };
}

type Welcome = Extract<ManagerMessage, { kind: 'welcome' }>;

/** Until the manager ends the session; returns the leader it named, if it does not lead itself. */
async function converse(
  session: AgentSession,
  { description, address, handlers }: SessionOptions,
  watchdog: Watchdog,
  onWelcome: (welcome: Welcome) => void,
): Promise<string | undefined> {
  session.send({ kind: 'register', description: description(), address });
  for await (const message of session) {
    watchdog.heard();
    if (message.kind === 'redirect') return message.leader || undefined;
    if (message.kind === 'welcome') onWelcome(message);
    else handlers.message(message, session);
  }
  return undefined;
}

/** Says every heartbeat that this node lives, and gives the stream up when the manager says nothing for three. */
class Watchdog implements Disposable {
  readonly #session: AgentSession;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  readonly #onAbort = (): void => this.#session.cancel();
  #periodMs = HEARTBEAT_DEFAULT_MS;
  #heardAt: number;
  #beating = false;
  #timer: Disposable | undefined;

  constructor(session: AgentSession, { clock }: SessionOptions, signal: AbortSignal) {
    this.#session = session;
    this.#clock = clock;
    this.#signal = signal;
    this.#heardAt = clock.monotonicMs();
    signal.addEventListener('abort', this.#onAbort, { once: true });
    if (signal.aborted) session.cancel();
    this.#schedule();
  }

  heard(): void {
    this.#heardAt = this.#clock.monotonicMs();
  }

  beatEvery(periodMs: number): void {
    this.#periodMs = periodMs;
    this.#beating = true;
    this.#timer?.[Symbol.dispose]();
    this.#tick();
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = undefined;
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#session.cancel();
  }

  #schedule(): void {
    this.#timer = this.#clock.after(this.#periodMs, () => this.#tick());
  }

  #tick(): void {
    const silentMs = this.#clock.monotonicMs() - this.#heardAt;
    if (silentMs > this.#periodMs * SILENCE_HEARTBEATS) {
      this.#session.cancel();
      return;
    }
    if (this.#beating) this.#session.send({ kind: 'heartbeat' });
    this.#schedule();
  }
}
