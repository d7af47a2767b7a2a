import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import type { Connection } from 'vxlan-netlink';
import type { Logger } from '../io/index.ts';
import type { ForgetTarget } from './forget-connections.ts';

const PROTOCOL_TCP = 6;
/** Longer than any handshake takes; a client asks again after a second (RFC 6298 section 2). */
const LOOK_AFTER_MS = 1_500;

/**
 * TCP connections that are being made to a backend that is out of service and does not answer, as on a host that lost its
 * power: its address stays in the table until it is known to be over, so nobody may take its open connections
 * away. Those that nobody answered in all the time since it left are forgotten, so their next question
 * chooses another backend; the client would else ask the silent one for two minutes. Who leaves in order answers at
 * once, and is mostly over by then, so that nothing needs to be looked for.
 */
export class StalledConnections {
  readonly #log: Logger;
  /** Which leaving of an address is its last: who came back and left again is looked for after that. */
  readonly #last = new Map<string, number>();
  #leavings = 0;
  #underWay: Promise<unknown> = Promise.resolve();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** @param isOut whether an address is still held and out of service */
  watch(
    targets: readonly ForgetTarget[],
    left: ReadonlySet<string>,
    isOut: (address: string) => boolean,
  ): void {
    if (left.size === 0) return;
    const leaving = ++this.#leavings;
    for (const address of left) this.#last.set(address, leaving);
    const isLast = (address: string): boolean => this.#last.get(address) === leaving;
    const work = this.#forgetLater(targets, left, (address) => isLast(address) && isOut(address));
    const done = work.finally(() => {
      for (const address of left) if (isLast(address)) this.#last.delete(address);
    });
    this.#underWay = Promise.all([this.#underWay, done]);
  }

  /** Resolves when all that is watched now was looked for. */
  get done(): Promise<unknown> {
    return this.#underWay;
  }

  async #forgetLater(
    targets: readonly ForgetTarget[],
    left: ReadonlySet<string>,
    isSilent: (address: string) => boolean,
  ): Promise<void> {
    await pause(LOOK_AFTER_MS, undefined, { ref: false });
    for (const target of targets) {
      await nextTurn();
      const silent = new Set([...left].filter(isSilent));
      if (silent.size === 0) return;
      try {
        forgetIn(target, silent);
      } catch (error) {
        this.#log.warn('connections to a silent backend not forgotten', { error });
      }
    }
  }
}

function forgetIn(
  { isLive, namespace, destinations }: ForgetTarget,
  silent: ReadonlySet<string>,
): void {
  if (!isLive) return;
  const answeredBy = destinations.among(silent);
  if (answeredBy.size === 0) return;
  const connections = namespace.connections({ answeredBy, protocol: PROTOCOL_TCP });
  for (const tracked of connections.filter(({ connection }) => isStalled(connection))) {
    namespace.forgetConnection(tracked, (now) => !isStalled(now));
  }
}

/** How often the client asked is not known: the kernel does not count questions that come again. */
function isStalled({ packets }: Connection): boolean {
  return packets?.answered === 0n;
}
