import { type Clock, type Logger, newObjectId, type Random } from '../io/index.ts';
import {
  ClusterError,
  errorMessage,
  type NetworkTable,
  type Node,
  type NodeDescription,
  type NodeId,
  type TaskId,
  updateObject,
} from '../model/index.ts';
import {
  type AgentMessage,
  attachmentService,
  type Caller,
  type Credentials,
  dispatcherService,
  logsService,
  type ManagerSession,
  networkService,
  type PublishedLogs,
  type ServiceBinding,
} from '../rpc/index.ts';
import type { Batch, Store } from '../store/index.ts';
import { Assigner } from './assigner.ts';
import { AttachmentClaims } from './attachments.ts';
import { reachable } from './entry-barrier.ts';
import { Heartbeats } from './heartbeat.ts';
import { LeaderQuestions } from './leader-questions.ts';
import { type LeaderWaitOptions, leaderKnown, otherLeader } from './leader-wait.ts';
import { LogBroker } from './log-broker.ts';
import { LossWriter } from './loss-writer.ts';
import { lostHosts } from './lost-hosts.ts';
import { NetworkChecks } from './network-checks.ts';
import { notMember, recordDescription, recordRegistration } from './node-record.ts';
import { Session } from './session.ts';
import { StatusWriter } from './status.ts';
import { recordVolumeReport } from './volumes.ts';

/** What the dispatcher needs of the store. */
export type DispatcherStore = Pick<
  Store,
  'view' | 'now' | 'update' | 'watch' | 'isLeader' | 'leader' | 'onLeadership' | 'members'
>;

export interface DispatcherOptions {
  readonly store: DispatcherStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** For asking the leader for logs. */
  readonly credentials: Credentials;
  readonly timing?: Partial<DispatcherTiming> | undefined;
  /** Whether the kernel of a manager's host answers. Without it a new leader counts every silence from its own beginning. */
  readonly hostAnswers?: ((address: string) => Promise<boolean>) | undefined;
}

/** Milliseconds. */
export interface DispatcherTiming {
  /** How often an agent says that it lives. */
  readonly heartbeatMs: number;
  /** Silence after which a node is down. */
  readonly graceMs: number;
  /** Longest time that a task's stop is held back. */
  readonly drainMaxMs: number;
  /** Time between two rounds of telling agents what changed; the first change after a rest is told at once. */
  readonly assignDelayMs: number;
  /** Time between two writes of reports; the first report after a rest is written at once. */
  readonly statusDelayMs: number;
}

const TIMING: DispatcherTiming = {
  heartbeatMs: 1_000,
  graceMs: 3_000,
  drainMaxMs: 2_000,
  assignDelayMs: 2,
  statusDelayMs: 2,
};
const RETRY_MS = 500;
/** An agent that ends for an upgrade is waited for this long at most. */
const AWAY_MAX_MS = 30_000;

/**
 * Agents' sessions: who lives, who runs what, and how it goes. Every manager has one; only the leader's serves, the
 * others point to it.
 */
export class Dispatcher {
  /** For this manager's server. */
  readonly services: readonly ServiceBinding[];
  readonly questions: LeaderQuestions;
  readonly #options: DispatcherOptions;
  readonly #timing: DispatcherTiming;
  readonly #sessions = new Map<NodeId, Session>();
  readonly #heartbeats: Heartbeats;
  #toldManagers = '';
  readonly #assigner: Assigner;
  readonly #statuses: StatusWriter;
  readonly #losses: LossWriter;
  readonly #logs: LogBroker;
  readonly #checks: NetworkChecks;
  readonly #wait: LeaderWaitOptions;
  #leading = false;

  constructor(options: DispatcherOptions) {
    const { store, clock, random, log } = options;
    this.#options = options;
    this.#timing = { ...TIMING, ...options.timing };
    this.#heartbeats = new Heartbeats({
      clock,
      graceMs: this.#timing.graceMs,
      agentRun: (nodeId): string | undefined => this.#sessions.get(nodeId)?.agentRun,
      onLost: (nodes): void => this.#lost(nodes),
    });
    this.#assigner = new Assigner({
      view: store.view,
      clock,
      sessions: this.#sessions,
      isAlive: (nodeId): boolean => this.#heartbeats.isAlive(nodeId),
      delayMs: this.#timing.assignDelayMs,
      drainMaxMs: this.#timing.drainMaxMs,
      onOverdue: (task, nodes): void =>
        log.warn('stop of a task not waited for any longer', { task, nodes }),
      onReachable: (tasks): void => this.#reachable(tasks),
    });
    this.#losses = new LossWriter({ store, clock, log });
    this.#statuses = new StatusWriter({ store, clock, log, delayMs: this.#timing.statusDelayMs });
    this.#logs = new LogBroker({
      view: store.view,
      newId: (): string => newObjectId(random),
      send: (nodeId, message): boolean => {
        const session = this.#sessions.get(nodeId);
        session?.send(message);
        return session !== undefined;
      },
    });
    this.#checks = new NetworkChecks({
      view: store.view,
      clock,
      sessions: this.#sessions,
      tableOf: (id): NetworkTable | undefined => this.#assigner.tableOf(id),
    });
    this.#wait = {
      store,
      clock,
      nodeId: (): NodeId => options.credentials.identity.nodeId,
      leads: (): boolean => this.#leading,
    };
    this.questions = new LeaderQuestions({
      store,
      credentials: options.credentials,
      logs: this.#logs,
      checks: this.#checks,
      leads: (): boolean => this.#leading,
    });
    const claims = new AttachmentClaims(store, clock);
    this.services = [
      attachmentService((nodeId, wishes) => claims.claim(nodeId, wishes)),
      dispatcherService((stream, caller) => this.serve(stream, caller)),
      logsService({
        read: (request, signal) => this.questions.leaderLogs(request, signal),
        publish: (part, batches, { nodeId }) => this.publishLogs(part, batches, nodeId),
      }),
      networkService((id) => this.questions.leaderCheck(id)),
    ];
  }

  /** Follows the store until the signal; resolves then. */
  async run(signal: AbortSignal): Promise<void> {
    const { store } = this.#options;
    using _watch = store.watch((batch) => this.#note(batch));
    using _leadership = store.onLeadership((leading) => {
      if (leading) this.#begin();
      else this.#end();
    });
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
    this.#end();
  }

  /** Takes what an agent delivers for one part of a log subscription. */
  async publishLogs(
    part: string,
    batches: AsyncIterable<PublishedLogs>,
    nodeId: NodeId,
  ): Promise<void> {
    await this.#logs.publish(part, batches, nodeId);
  }

  /** Holds one agent's session until it ends. */
  async serve(stream: ManagerSession, caller: Caller): Promise<void> {
    await leaderKnown(this.#wait);
    if (!this.#leading) {
      this.#redirect(stream);
      return;
    }
    const messages = stream[Symbol.asyncIterator]();
    const first = await messages.next();
    if (!first.done && first.value.kind === 'find-leader') {
      stream.send({ kind: 'redirect', leader: this.#options.store.leader()?.address ?? '' });
      return;
    }
    if (first.done || first.value.kind !== 'register') {
      throw new ClusterError('invalid', 'a session begins with register');
    }
    await this.#register(first.value, caller);
    if (!this.#leading) {
      this.#redirect(stream);
      return;
    }
    const session = this.#open(stream, caller.nodeId, first.value.agentRun);
    try {
      await Promise.race([session.over, this.#converse(session, messages)]);
      if (!this.#leading) this.#redirect(stream);
    } finally {
      this.#closed(session);
    }
  }

  async #register(
    { description, address }: Extract<AgentMessage, { kind: 'register' }>,
    { nodeId, role, address: seenAddress }: Caller,
  ): Promise<void> {
    const { store } = this.#options;
    if (!store.view.get('node', nodeId)) throw notMember(nodeId);
    const registration = { nodeId, role, description, address: address || seenAddress };
    await this.#losses.writeArrival(nodeId, () =>
      store.update((draft) => recordRegistration(draft, { ...registration, now: store.now() }), {
        asLeader: true,
      }),
    );
  }

  #open(stream: ManagerSession, nodeId: NodeId, agentRun: string): Session {
    const { random, log } = this.#options;
    const session = new Session({
      id: newObjectId(random),
      nodeId,
      agentRun,
      stream,
      isCurrent: (one): boolean => this.#sessions.get(nodeId) === one,
    });
    this.#sessions.get(nodeId)?.close();
    this.#sessions.set(nodeId, session);
    this.#heartbeats.beat(nodeId);
    log.info('session began', { node: nodeId, session: session.id });
    session.send({
      kind: 'welcome',
      sessionId: session.id,
      heartbeatMs: this.#timing.heartbeatMs,
    });
    session.tellManagers(this.#managerAddresses());
    const node = this.#options.store.view.get('node', nodeId);
    if (node) this.#tellRole(session, node);
    this.#assigner.begin(session);
    this.#logs.noteSessionBegin(nodeId);
    return session;
  }

  async #converse(session: Session, messages: AsyncIterator<AgentMessage>): Promise<void> {
    for (let next = await messages.next(); !next.done; next = await messages.next()) {
      if (!session.isCurrent()) return;
      const message = next.value;
      this.#heartbeats.beat(session.nodeId);
      switch (message.kind) {
        case 'heartbeat':
          session.send({ kind: 'alive' });
          session.tellManagers(this.#managerAddresses());
          break;
        case 'away':
          this.#heartbeats.beat(session.nodeId, Math.min(message.backWithinMs, AWAY_MAX_MS));
          break;
        case 'acknowledge':
          this.#assigner.acknowledge(session, message.sequence);
          break;
        case 'report':
          this.#statuses.add(session, message.number, message.statuses);
          break;
        case 'network-checked':
          this.#checks.answered(session.nodeId, message.number, message.check);
          break;
        case 'volume-report':
          void recordVolumeReport(this.#options, session.nodeId, message.statuses);
          break;
        case 'describe':
          this.#describe(session, message.description);
          break;
        default:
          break;
      }
    }
  }

  /** An agent whose word could not be written says it again when it registers. */
  #describe(session: Session, description: NodeDescription): void {
    const { store, log } = this.#options;
    store
      .update((draft) => recordDescription(draft, session.nodeId, description), { asLeader: true })
      .catch((error: unknown) => {
        log.warn('description not written', { node: session.nodeId, error: errorMessage(error) });
        session.close();
      });
  }

  #closed(session: Session): void {
    if (!session.isCurrent()) return;
    this.#sessions.delete(session.nodeId);
    this.#logs.noteSessionEnd(session.nodeId);
    this.#checks.noteSessionEnd(session.nodeId);
    this.#options.log.info('session ended', { node: session.nodeId, session: session.id });
  }

  #redirect(stream: ManagerSession): void {
    stream.send({ kind: 'redirect', leader: otherLeader(this.#wait)?.address ?? '' });
  }

  /** Every node that was not down when the last leader stopped gets one whole grace period. */
  #begin(): void {
    const { store } = this.#options;
    this.#leading = true;
    this.#assigner.reset();
    const nodes = [...store.view.list('node')].filter(({ status }) => status.state !== 'down');
    this.#heartbeats.begin(nodes.map(({ id }) => id));
    void lostHosts(store.members(), this.#options).then((lost) => {
      for (const { nodeId, heardAt } of lost) this.#heartbeats.wasLastHeard(nodeId, heardAt);
    });
  }

  #end(): void {
    this.#leading = false;
    this.#heartbeats.stop();
    this.#losses.stop();
    this.#assigner.stop();
    this.#logs.close();
    for (const session of this.#sessions.values()) session.close();
    this.#sessions.clear();
  }

  #note(batch: Batch): void {
    if (!this.#leading) return;
    if (batch.reset) this.#assigner.reset();
    for (const change of batch.changes) {
      this.#assigner.note(change);
      if (change.kind === 'task' && change.after) this.#logs.noteTask(change.after);
      if (change.kind === 'node') this.#noteNode(change.before, change.after);
    }
    if (batch.changes.some(({ kind }) => kind === 'node')) this.#tellManagers();
    this.#assigner.flushSoon();
  }

  #noteNode(before: Node | undefined, after: Node | undefined): void {
    if (before && !after) this.#removed(before.id);
    if (after && !before) this.#heartbeats.beat(after.id);
    const session = after && this.#sessions.get(after.id);
    if (session) this.#tellRole(session, after);
  }

  /** A manager that is demoted hears of it when the group has let it go: until then the others may need it. */
  #tellRole(session: Session, node: Node): void {
    const { manager, spec } = node;
    const isMember = this.#options.store.members().some(({ nodeId }) => nodeId === node.id);
    if (spec.Role === 'worker' && (manager !== undefined || isMember)) return;
    session.tellRole(spec.Role);
  }

  #removed(nodeId: NodeId): void {
    this.#heartbeats.forget(nodeId);
    this.#assigner.lost(nodeId);
    this.#sessions.get(nodeId)?.close();
  }

  #lost(nodes: readonly NodeId[]): void {
    for (const nodeId of nodes) {
      this.#options.log.warn('node is down', { node: nodeId });
      this.#sessions.get(nodeId)?.close();
      this.#sessions.delete(nodeId);
      this.#logs.noteSessionEnd(nodeId);
      this.#checks.noteSessionEnd(nodeId);
      this.#assigner.lost(nodeId);
    }
    this.#losses.write(nodes);
  }

  /** Lost with the leadership; the next leader finds out by itself. */
  #reachable(tasks: readonly TaskId[]): void {
    const { store, clock, log } = this.#options;
    if (!this.#leading) return;
    store
      .update((draft) => {
        for (const id of tasks) {
          const task = reachable(draft, id);
          if (task) draft.add(updateObject('task', task));
        }
      })
      .catch((error: unknown) => {
        log.warn('reachable tasks not written yet', { error: errorMessage(error) });
        clock.after(RETRY_MS, () => this.#reachable(tasks));
      });
  }

  /** At once: who hears of new managers only after the old ones have gone finds none. Says nothing when nothing is new. */
  #tellManagers(): void {
    const addresses = this.#managerAddresses();
    const text = addresses.join(' ');
    if (text === this.#toldManagers) return;
    this.#toldManagers = text;
    for (const session of this.#sessions.values()) session.tellManagers(addresses);
  }

  #managerAddresses(): readonly string[] {
    return this.#options.store.members().map(({ address }) => address);
  }
}
