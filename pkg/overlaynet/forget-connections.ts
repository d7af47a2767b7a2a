import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import type { Connection, TrackedConnection } from 'vxlan-netlink';
import type { Namespace } from './kernel/kernel.ts';

const PROTOCOL_UDP = 17;
/** Sysctl that makes the kernel count the packets of tracked connections. */
export const COUNT_PACKETS = 'net/netfilter/nf_conntrack_acct';
/** Seconds after its last packet at which the kernel forgets a flow, and one that went both ways for a while. */
const TIMEOUT = 'net/netfilter/nf_conntrack_udp_timeout';
const TIMEOUT_ASSURED = 'net/netfilter/nf_conntrack_udp_timeout_stream';

export interface ForgetTarget {
  readonly namespace: Namespace;
  /** False once the namespace was closed. */
  readonly isLive: boolean;
}

/** For this long after its last packet a flow may still be answered. */
const ANSWER_WITHIN_S = 1;
/** Nobody waits longer, and less than a manager waits for us (`drainMaxMs`). */
const PATIENCE_MS = 1500;
const LOOK_EVERY_MS = 5;
/** As many packets without an answer are no question: nobody expects one. */
const ONE_WAY = 4n;

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
 * many packets came back as went out, or when its last packet was a while ago; one that has no such moment goes at the
 * end of `PATIENCE_MS`.
 */
async function forgetConnections(
  targets: readonly ForgetTarget[],
  addresses: Addresses,
  report: (error: unknown) => void,
): Promise<void> {
  const patience = performance.now() + PATIENCE_MS;
  let left: readonly Left[] = [];
  for (const target of targets) {
    await nextTurn();
    // The kernel keeps what it tracks for a while longer where this fails; the other namespaces still get their turn.
    left = [...left, ...attempt(() => forgetIn(target, addresses), [], report)];
  }
  while (left.length > 0) {
    await pause(LOOK_EVERY_MS);
    const isOver = performance.now() >= patience;
    left = left.filter((flow) => attempt(() => isLeft(flow, isOver), false, report));
  }
}

/** A flow whose answer was on the way. */
interface Left {
  readonly target: ForgetTarget;
  readonly flow: TrackedConnection;
  readonly keep: (connection: Connection) => boolean;
}

function forgetIn(target: ForgetTarget, { gone, removed }: Addresses): readonly Left[] {
  const { isLive, namespace } = target;
  if (!isLive) return [];
  const found = namespace.connections(
    ({ protocol, replySource }) =>
      gone.has(replySource) || (protocol === PROTOCOL_UDP && removed.has(replySource)),
  );
  if (found.length === 0) return [];
  const waits = answersAwaited(namespace);
  const keep = (connection: Connection): boolean =>
    !gone.has(connection.replySource) && waits(connection);
  return found
    .filter((flow) => !namespace.forgetConnection(flow, keep))
    .map((flow) => ({ target, flow, keep }));
}

function isLeft({ target, flow, keep }: Left, isOver: boolean): boolean {
  return target.isLive && !target.namespace.forgetConnection(flow, isOver ? undefined : keep);
}

/** Whether the answer to a flow's last packet may still come, by the time-outs of its namespace. */
function answersAwaited(namespace: Namespace): (connection: Connection) => boolean {
  const seconds = (key: string): number => Number(namespace.readSysctl(key) ?? Number.NaN);
  const [brief, long] = [seconds(TIMEOUT), seconds(TIMEOUT_ASSURED)];
  return ({ packets, assured, expiresInSeconds }) => {
    if (packets === undefined || packets.answered >= packets.sent) return false;
    if (packets.answered === 0n && packets.sent >= ONE_WAY) return false;
    // Seconds are rounded: at least `ANSWER_WITHIN_S`, less than one more.
    return (assured ? long : brief) - expiresInSeconds <= ANSWER_WITHIN_S;
  };
}

/** `otherwise` when it fails. */
function attempt<T>(work: () => T, otherwise: T, report: (error: unknown) => void): T {
  try {
    return work();
  } catch (error) {
    report(error);
    return otherwise;
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
