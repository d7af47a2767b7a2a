import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import type { Connection, TrackedConnection } from 'vxlan-netlink';
import type { Namespace } from './kernel/kernel.ts';

const PROTOCOL_UDP = 17;
/** Sysctl that makes the kernel count the packets of tracked connections. */
export const COUNT_PACKETS = 'net/netfilter/nf_conntrack_acct';

export interface ForgetTarget {
  readonly namespace: Namespace;
  /** False once the namespace was closed. */
  readonly isLive: boolean;
}

/** How long a flow is given to be answered before it is cut off, and how often that is looked at. */
const ANSWER_WITHIN_MS = 250;
const LOOK_EVERY_MS = 5;

interface Addresses {
  readonly removed: ReadonlySet<string>;
  readonly gone: ReadonlySet<string>;
}

/**
 * UDP flows to a backend that takes no new connections choose again: TCP drains, but a flow would stick for as long as
 * it talks. Whatever led to an address that nobody holds any more is forgotten, so that the next packet meets another
 * backend, which resets the connection, rather than silence. Reading the tracked connections takes some 10 ms per
 * namespace, so each has a turn of the event loop.
 *
 * An answer that comes after its flow was forgotten finds no way back to the client. So a flow goes in a moment when as
 * many packets came back as went out; one that has no such moment goes at the end of `ANSWER_WITHIN_MS`.
 */
async function forgetConnections(
  targets: readonly ForgetTarget[],
  addresses: Addresses,
  report: (error: unknown) => void,
): Promise<void> {
  const patience = performance.now() + ANSWER_WITHIN_MS;
  const left: Left[] = [];
  for (const target of targets) {
    await nextTurn();
    // The kernel keeps what it tracks for a while longer where this fails; the other namespaces still get their turn.
    attempt(() => left.push(...forgetIn(target, addresses)), report);
  }
  await Promise.all(left.map((flow) => forgetWhenAnswered(flow, patience, report)));
}

/** A flow whose answer was on the way. */
interface Left {
  readonly target: ForgetTarget;
  readonly flow: TrackedConnection;
}

function forgetIn(target: ForgetTarget, { gone, removed }: Addresses): readonly Left[] {
  if (!target.isLive) return [];
  const found = target.namespace.connections(
    ({ protocol, replySource }) =>
      gone.has(replySource) || (protocol === PROTOCOL_UDP && removed.has(replySource)),
  );
  const keep = (connection: Connection): boolean =>
    !gone.has(connection.replySource) && isUnanswered(connection);
  return found
    .filter((flow) => !target.namespace.forgetConnection(flow, keep))
    .map((flow) => ({ target, flow }));
}

async function forgetWhenAnswered(
  { target, flow }: Left,
  patience: number,
  report: (error: unknown) => void,
): Promise<void> {
  let waits = true;
  while (waits) {
    await pause(LOOK_EVERY_MS);
    const keep = performance.now() < patience ? isUnanswered : undefined;
    waits = attempt(() => target.isLive && !target.namespace.forgetConnection(flow, keep), report);
  }
}

/** False when it fails. */
function attempt(work: () => unknown, report: (error: unknown) => void): boolean {
  try {
    return work() === true;
  } catch (error) {
    report(error);
    return false;
  }
}

/** Everything that is still to be forgotten on this host. */
export class Forgetting {
  readonly #report: (error: unknown) => void;
  #underWay: Promise<void> = Promise.resolve();

  constructor(report: (error: unknown) => void) {
    this.#report = report;
  }

  begin(targets: readonly ForgetTarget[], addresses: Addresses): void {
    const work = forgetConnections(targets, addresses, this.#report);
    this.#underWay = Promise.all([this.#underWay, work]).then(() => undefined);
  }

  /** Resolves when all that began before now is done. */
  get done(): Promise<void> {
    return this.#underWay;
  }
}

/** Who never answered will not answer now. */
function isUnanswered({ packets }: Connection): boolean {
  return packets !== undefined && packets.answered > 0n && packets.sent > packets.answered;
}
