import { type Clock, type Logger, type Random, sleep } from '../io/index.ts';
import { errorMessage, type NodeDescription } from '../model/index.ts';
import type { AgentSession, Credentials, ManagerMessage } from '../rpc/index.ts';
import type { ManagerLink } from './manager-link.ts';

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

const BACKOFF_FIRST_MS = 100;
const BACKOFF_MAX_MS = 2_000;
const CONNECT_TIMEOUT_MS = 1_000;
const HEARTBEAT_DEFAULT_MS = 1_000;
const SILENCE_HEARTBEATS = 3;
/** How long an upgrade of the agent may take before its tasks are replaced. */
const BACK_WITHIN_MS = 15_000;
const FAREWELL_MS = 500;

/** Reason of an abort when the agent ends and will be started again: the leader is told to wait for it. */
export class BackSoon extends Error {
  override readonly name = 'BackSoon';
}

const REDIRECTS_MAX = 3;

/**
 * Keeps a session with whichever manager leads, for ever. Each round asks every manager once, and the leader that one
 * names; between rounds it pauses, 0.1 s at first and up to 2 s while no manager answers at all.
 */
export async function keepSession(options: SessionOptions, signal: AbortSignal): Promise<void> {
  const { clock, random } = options;
  let backoffMs = BACKOFF_FIRST_MS;
  while (!signal.aborted) {
    const answered = await oneRound(options, signal);
    if (answered) backoffMs = BACKOFF_FIRST_MS;
    await sleep(clock, backoffMs * (0.5 + random.float() * 0.5), signal).catch(() => undefined);
    backoffMs = Math.min(backoffMs * 2, BACKOFF_MAX_MS);
  }
}

/** Whether any manager answered. Ends early after a session: its end says that leadership may have moved. */
async function oneRound(options: SessionOptions, signal: AbortSignal): Promise<boolean> {
  const managers = options.managers();
  const first = Math.floor(options.random.float() * managers.length);
  const known = [...managers.slice(first), ...managers.slice(0, first)];
  const queue = [...known, ...options.formerManagers()];
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
  options: SessionOptions,
  signal: AbortSignal,
): Promise<Outcome> {
  const { credentials, connect, handlers, log } = options;
  const link = connect(address);
  let answered = false;
  let began = false;
  let leader: string | undefined;
  let forget = (): void => undefined;
  try {
    await link.ready(CONNECT_TIMEOUT_MS);
    answered = true;
    const session = link.openSession();
    // With a new certificate the node registers anew: its role may be another one.
    forget = credentials.onReplace(() => session.cancel());
    using watchdog = new Watchdog(session, options, signal);
    leader = await converse(session, options, watchdog, ({ heartbeatMs, sessionId }) => {
      began = true;
      watchdog.beatEvery(heartbeatMs);
      log.info('session began', { manager: address, session: sessionId });
      handlers.began(session, link);
    });
  } catch (error) {
    if (!signal.aborted) log.info('manager lost', { manager: address, error: errorMessage(error) });
  } finally {
    forget();
    if (began) handlers.ended();
    link.close();
  }
  return { answered, began, leader };
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
    if (message.kind === 'alive') watchdog.answered();
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
  readonly #options: SessionOptions;
  /** When each heartbeat was sent that is not answered yet; answers come in order. */
  readonly #sent: number[] = [];
  readonly #onAbort = (): void => {
    if (this.#signal.reason instanceof BackSoon && this.#beating) this.#sayAway();
    else this.#session.cancel();
  };
  #periodMs = HEARTBEAT_DEFAULT_MS;
  #heardAt: number;
  /** When the next heartbeat should go out. */
  #due = 0;
  #beating = false;
  #timer: Disposable | undefined;

  constructor(session: AgentSession, options: SessionOptions, signal: AbortSignal) {
    const { clock } = options;
    this.#options = options;
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

  /** Counted from when the question was sent: the leader heard it after that. */
  answered(): void {
    const at = this.#sent.shift();
    if (at !== undefined) this.#options.handlers.known(at);
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

  /** The manager ends its side when it has read it. */
  #sayAway(): void {
    this.#timer?.[Symbol.dispose]();
    this.#session.send({ kind: 'away', backWithinMs: BACK_WITHIN_MS });
    this.#session.end();
    this.#timer = this.#clock.after(FAREWELL_MS, () => this.#session.cancel());
  }

  #schedule(): void {
    this.#due = this.#clock.monotonicMs() + this.#periodMs;
    const timer = this.#clock.after(this.#periodMs, () => {
      // After a time without a processor, what the manager said meanwhile is read before it counts as silent.
      setImmediate(() => {
        if (this.#timer === timer) this.#tick();
      });
    });
    this.#timer = timer;
  }

  #tick(): void {
    const now = this.#clock.monotonicMs();
    // The manager answers heartbeats: while this process stood still and sent none, it had nothing to say.
    if (now - this.#due > this.#periodMs) this.#heardAt = now;
    const silentMs = now - this.#heardAt;
    if (silentMs > this.#periodMs * SILENCE_HEARTBEATS) {
      this.#session.cancel();
      return;
    }
    if (this.#beating) {
      this.#sent.push(this.#options.leaseTimeMs());
      this.#session.send({ kind: 'heartbeat' });
    }
    this.#schedule();
  }
}
