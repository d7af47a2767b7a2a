import { setImmediate as nextTurn, setTimeout as pause } from 'node:timers/promises';
import type { Connection, TrackedConnection } from 'vxlan-netlink';
import type { Logger } from '../io/index.ts';
import type { AppliedRulesets } from './applied-rulesets.ts';
import type { Destinations } from './destinations.ts';
import type { Kernel, Namespace } from './kernel/kernel.ts';
import { SetAside } from './set-aside.ts';

const PROTOCOL_UDP = 17;
/** Sysctl that makes the kernel count the packets of tracked connections. */
export const COUNT_PACKETS = 'net/netfilter/nf_conntrack_acct';
/** Seconds after its last packet at which the kernel forgets a flow, and one that went both ways for a while. */
const TIMEOUT = 'net/netfilter/nf_conntrack_udp_timeout';
const TIMEOUT_ASSURED = 'net/netfilter/nf_conntrack_udp_timeout_stream';

export interface ForgetTarget {
  readonly namespace: Namespace;
  readonly rulesets: AppliedRulesets;
  readonly destinations: Pick<Destinations, 'among' | 'take'>;
  /** False once the namespace was closed. */
  readonly isLive: boolean;
}

/** For this long after its last packet a flow may still be answered. */
const ANSWER_WITHIN_S = 1;
/** Nobody waits longer, and less than a manager waits for us (`drainMaxMs`). */
const PATIENCE_MS = 1500;
const LOOK_EVERY_MS = 5;
/** Some milliseconds. */
const LOOKS_PER_TURN = 500;
/** As many packets without an answer are no question: nobody expects one. */
const ONE_WAY = 4n;
/** Zones of connection tracking for questions of flows that leave; each leaving takes the next. */
const ZONE_FIRST = 0x4d00;
const ZONES = 256;

interface Addresses {
  readonly removed: ReadonlySet<string>;
  readonly gone: ReadonlySet<string>;
}

/** What a leaving works with. */
interface Surroundings {
  readonly packetsPassed: Kernel['packetsPassed'];
  readonly report: (error: unknown) => void;
  readonly asideOf: (target: ForgetTarget) => SetAside;
  readonly zone: number;
  /** Told of flows that were forgotten although an answer was missing. */
  readonly onUnanswered: (flows: readonly Connection[]) => void;
}

/**
 * UDP flows to a backend that takes no new connections choose again: TCP drains, but a flow would stick for as long as
 * it talks. Whatever led to an address that nobody holds any more is forgotten, so that the next packet meets another
 * backend, which resets the connection, rather than silence. Reading the tracked connections takes some 10 ms per
 * namespace, so each has a turn of the event loop, and only those are read that led there (`Destinations`).
 *
 * An answer that comes after its flow was forgotten finds no way back to the client. So a flow is set aside first: its
 * questions choose anew, its answers still find it. Once every packet that met the rules before has passed, the flow is
 * forgotten when as many packets came back as went out, when its last packet was a while ago, or at the end of
 * `PATIENCE_MS`.
 */
async function forgetConnections(
  targets: readonly ForgetTarget[],
  addresses: Addresses,
  surroundings: Surroundings,
): Promise<void> {
  const { packetsPassed, report } = surroundings;
  const patience = performance.now() + PATIENCE_MS;
  // Who chose by the maps as they were is tracked after that.
  await packetsPassed().catch(report);
  let left: readonly Left[] = [];
  for (const target of targets) {
    await nextTurn();
    // The kernel keeps what it tracks for a while longer where this fails; the other namespaces still get their turn.
    left = [...left, ...attempt(() => forgetIn(target, addresses, surroundings), [], report)];
  }
  if (left.length === 0) return;
  await packetsPassed().catch(report);
  const unanswered: Connection[] = [];
  while (left.length > 0) {
    const isOver = performance.now() >= patience;
    const still = new Set<Left>();
    for (const [at, flow] of left.entries()) {
      if (at % LOOKS_PER_TURN === LOOKS_PER_TURN - 1) await nextTurn();
      if (attempt(() => isLeft(flow, isOver, unanswered), false, report)) still.add(flow);
    }
    comeBack(
      left.filter((flow) => !still.has(flow)),
      surroundings,
    );
    left = [...still];
    if (left.length > 0) await pause(LOOK_EVERY_MS);
  }
  if (unanswered.length > 0) surroundings.onUnanswered(unanswered);
}

/** A flow that was set aside. */
interface Left {
  readonly target: ForgetTarget;
  readonly flow: TrackedConnection;
  readonly waits: (connection: Connection) => boolean;
}

/** Forgets what led nowhere; sets aside, and returns, what may still be answered. */
function forgetIn(
  target: ForgetTarget,
  { gone, removed }: Addresses,
  { report, asideOf, zone }: Surroundings,
): readonly Left[] {
  const { destinations, isLive, namespace } = target;
  if (!isLive) return [];
  const dead = destinations.take(gone);
  if (dead.size > 0) {
    namespace.forgetConnections(namespace.connections({ answeredBy: dead }));
  }
  const left = destinations.among(removed, 'udp');
  if (left.size === 0) return [];
  const leaving = namespace
    .connections({ answeredBy: left, protocol: PROTOCOL_UDP })
    .filter(({ connection }) => isTranslated(connection));
  if (leaving.length === 0) return [];
  // A kernel without zones: questions between the last look and the deletion are lost.
  attempt(
    () =>
      asideOf(target).add(
        leaving.map(({ connection }) => connection),
        zone,
      ),
    undefined,
    report,
  );
  const waits = answersAwaited(namespace);
  return leaving.map((flow) => ({ target, flow, waits }));
}

/** What was sent to the backend's own address has nothing to choose from. */
function isTranslated({ originalDestination, replySource }: Connection): boolean {
  return originalDestination !== replySource;
}

function isLeft({ target, flow, waits }: Left, isOver: boolean, unanswered: Connection[]): boolean {
  if (!target.isLive) return false;
  const keep = (now: Connection): boolean => {
    if (waits(now) && !isOver) return true;
    if (isUnanswered(now)) unanswered.push(now);
    return false;
  };
  return !target.namespace.forgetConnection(flow, keep);
}

function isUnanswered({ packets }: Connection): boolean {
  if (packets === undefined || packets.answered >= packets.sent) return false;
  return packets.answered > 0n || packets.sent < ONE_WAY;
}

/** Questions of flows that are forgotten take the ordinary way again. */
function comeBack(flows: readonly Left[], { asideOf, report }: Surroundings): void {
  for (const target of new Set(flows.map((flow) => flow.target))) {
    if (!target.isLive) continue;
    const some = flows.filter((flow) => flow.target === target);
    const connections = some.map(({ flow }) => flow.connection);
    attempt(() => asideOf(target).remove(connections), undefined, report);
  }
}

/** Whether the answer to a flow's last packet may still come, by the time-outs of its namespace. */
function answersAwaited(namespace: Namespace): (connection: Connection) => boolean {
  const seconds = (key: string): number => Number(namespace.readSysctl(key) ?? Number.NaN);
  const [brief, long] = [seconds(TIMEOUT), seconds(TIMEOUT_ASSURED)];
  return (connection) => {
    if (!isUnanswered(connection)) return false;
    const { assured, expiresInSeconds } = connection;
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
  readonly #kernel: Pick<Kernel, 'packetsPassed'>;
  readonly #log: Logger;
  readonly #asides = new WeakMap<ForgetTarget, SetAside>();
  #leavings = 0;
  #underWay: Promise<void> = Promise.resolve();

  constructor(kernel: Pick<Kernel, 'packetsPassed'>, log: Logger) {
    this.#kernel = kernel;
    this.#log = log;
  }

  begin(targets: readonly ForgetTarget[], addresses: Addresses): void {
    const work = forgetConnections(targets, addresses, {
      packetsPassed: () => this.#kernel.packetsPassed(),
      report: (error) => this.#log.warn('tracked connections not forgotten', { error }),
      onUnanswered: (flows) =>
        this.#log.info('a backend left with questions unanswered', {
          questions: flows.length,
          backends: [...new Set(flows.map(({ replySource }) => replySource))],
        }),
      asideOf: (target) => this.#asideOf(target),
      zone: ZONE_FIRST + (this.#leavings++ % ZONES),
    });
    this.#underWay = Promise.all([this.#underWay, work]).then(() => undefined);
  }

  /** Resolves when all that began before now is done. */
  get done(): Promise<void> {
    return this.#underWay;
  }

  #asideOf(target: ForgetTarget): SetAside {
    const aside = this.#asides.get(target) ?? new SetAside(target.rulesets);
    this.#asides.set(target, aside);
    return aside;
  }
}
