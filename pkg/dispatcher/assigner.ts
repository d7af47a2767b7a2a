import type { Clock, Timer } from '../io/index.ts';
import type {
  AppliedChange,
  Attachment,
  NetworkId,
  NetworkTable,
  NodeId,
  Task,
  TaskId,
  View,
  Volume,
} from '../model/index.ts';
import { assignmentSet, ingressNetworks, isSameToAgent, type KnownTable } from './assignments.ts';
import { DrainBarrier } from './drain-barrier.ts';
import { EntryBarrier } from './entry-barrier.ts';
import { NetworkTables } from './network-tables.ts';
import type { Session } from './session.ts';
import type { Participant } from './table-barrier.ts';

export interface AssignerOptions {
  readonly view: View;
  readonly clock: Clock;
  readonly sessions: ReadonlyMap<NodeId, Session>;
  readonly isAlive: (nodeId: NodeId) => boolean;
  /** Time between two rounds of telling agents, milliseconds: what changes meanwhile is told together. */
  readonly delayMs: number;
  /** Longest time that a task's stop is held back, milliseconds. */
  readonly drainMaxMs: number;
  /** A task is told to stop although these nodes may still send it connections. */
  readonly onOverdue: (taskId: TaskId, nodes: readonly NodeId[]) => void;
  /** All living nodes hold tables in which these tasks are in service. */
  readonly onReachable: (tasks: readonly TaskId[]) => void;
}

/** Who joins or leaves is told to all nodes; with many at once each of them would be told of each. */
const NODES_DELAY_MS = 100;

/** Keeps every session's assignment set up to date with the store, and stops behind the drain barrier. */
export class Assigner {
  readonly #options: AssignerOptions;
  readonly #tables: NetworkTables;
  readonly #barrier: DrainBarrier;
  readonly #entry: EntryBarrier;
  #dirty = new Set<NodeId>();
  #allDirty = false;
  #flushTimer: Timer | undefined;
  /** When any agent was told something last. */
  #toldAt = Number.NEGATIVE_INFINITY;
  #nodesTimer: Timer | undefined;
  #barrierTimer: Timer | undefined;

  constructor(options: AssignerOptions) {
    this.#options = options;
    this.#tables = new NetworkTables(options.view);
    const common = {
      now: (): number => options.clock.monotonicMs(),
      participants: (networks: readonly NetworkId[]): readonly Participant[] =>
        this.#participants(networks),
    };
    const { drainMaxMs: maxMs, onOverdue } = options;
    this.#barrier = new DrainBarrier({ ...common, maxMs, onOverdue });
    this.#entry = new EntryBarrier({ ...common, view: options.view });
  }

  /** Forget what was known of the store: leadership began, or a snapshot replaced it. */
  reset(): void {
    this.#tables.reset();
    this.#allDirty = true;
    this.#entry.clear();
    this.#entry.noteAll();
  }

  /** Leadership ended. */
  stop(): void {
    for (const timer of [this.#flushTimer, this.#nodesTimer, this.#barrierTimer]) timer?.cancel();
    this.#flushTimer = undefined;
    this.#nodesTimer = undefined;
    this.#barrierTimer = undefined;
    this.#barrier.clear();
    this.#entry.clear();
  }

  note(change: AppliedChange): void {
    this.#tables.note(change);
    switch (change.kind) {
      case 'task': {
        const { before, after } = change;
        if (before && !after) this.#forget(before.id);
        if (after) this.#entry.note(after);
        if (before && after && isSameToAgent(before, after)) break;
        if (before?.nodeId) this.#dirty.add(before.nodeId);
        if (after?.nodeId) this.#dirty.add(after.nodeId);
        break;
      }
      case 'node':
        this.#entry.noteNode(change);
        break;
      case 'attachment':
        this.#noteAttachment(change.before ?? change.after);
        break;
      case 'volume':
        this.#noteVolume(change.before);
        this.#noteVolume(change.after);
        break;
      case 'network':
      case 'secret':
      case 'config':
        this.#allDirty = true;
        break;
      default:
        break;
    }
  }

  #forget(taskId: TaskId): void {
    this.#barrier.forget(taskId);
    this.#entry.forget(taskId);
  }

  #noteVolume(volume: Volume | undefined): void {
    for (const { nodeId } of volume?.publications ?? []) this.#dirty.add(nodeId);
  }

  #noteAttachment(attachment: Attachment | undefined): void {
    if (attachment) this.#dirty.add(attachment.nodeId);
  }

  /** Tell agents soon what was noted: at once if they were told nothing for a while. */
  flushSoon(): void {
    const { clock, delayMs } = this.#options;
    const due = this.#toldAt + delayMs - clock.monotonicMs();
    this.#flushTimer ??= clock.after(Math.max(0, due), () => this.#flush(false));
    if (!this.#tables.nodesDirty) return;
    this.#nodesTimer ??= clock.after(NODES_DELAY_MS, () => this.#flush(true));
  }

  /** A session began: give it everything. What others are told of this waits for the next time. */
  begin(session: Session): void {
    this.#assign(session, ingressNetworks(this.#options.view));
    this.flushSoon();
  }

  /** The kernel of the session's node holds all tables up to `sequence`. */
  acknowledge(session: Session, sequence: number): void {
    session.acknowledge(sequence);
    for (const barrier of [this.#barrier, this.#entry]) {
      barrier.acknowledged(session.nodeId, session.id, session.acknowledged);
    }
    this.#release();
  }

  /** The node is down or was removed. */
  lost(nodeId: NodeId): void {
    this.#barrier.lost(nodeId);
    this.#entry.lost(nodeId);
    this.#release();
  }

  #flush(nodesToo: boolean): void {
    const { view, clock } = this.#options;
    this.#flushTimer?.cancel();
    this.#flushTimer = undefined;
    const changed = [...this.#tables.refresh(nodesToo)];
    if (!this.#tables.nodesDirty) {
      this.#nodesTimer?.cancel();
      this.#nodesTimer = undefined;
    }
    const { noted, holders } = this.#touched(changed);
    if (noted.length > 0) {
      const everywhere = ingressNetworks(view);
      for (const session of noted) this.#assign(session, everywhere);
    }
    for (const session of holders) session.assignTables((id) => this.#tables.of(id));
    if (noted.length + holders.length > 0) this.#toldAt = clock.monotonicMs();
    this.#barrier.sent();
    this.#entry.sent();
    this.#release();
  }

  /** Sessions whose set may have changed, and others that hold one of these tables. */
  #touched(changed: readonly NetworkId[]): {
    readonly noted: readonly Session[];
    readonly holders: readonly Session[];
  } {
    const { sessions } = this.#options;
    const [dirty, all] = [this.#dirty, this.#allDirty];
    this.#dirty = new Set();
    this.#allDirty = false;
    if (all) return { noted: [...sessions.values()], holders: [] };
    const noted = [...dirty].flatMap((id) => sessions.get(id) ?? []);
    if (changed.length === 0) return { noted, holders: [] };
    const holders = [...sessions.values()].filter(
      (session) => !dirty.has(session.nodeId) && changed.some((id) => session.holdsNetwork(id)),
    );
    return { noted, holders };
  }

  #assign(session: Session, everywhere: readonly NetworkId[]): void {
    const set = assignmentSet({
      view: this.#options.view,
      nodeId: session.nodeId,
      everywhere,
      isHeld: (task: Task): boolean => this.#barrier.isHeld(task),
      tableOf: (id: NetworkId): KnownTable | undefined => this.#tables.of(id),
    });
    session.assign(set);
  }

  /** Tell agents to stop what no node sends new connections to any more. */
  #release(): void {
    const { view, clock } = this.#options;
    const entered = this.#entry.release();
    if (entered.length > 0) this.#options.onReachable(entered);
    const released = this.#barrier.release();
    for (const taskId of released) {
      const nodeId = view.get('task', taskId)?.nodeId;
      if (nodeId) this.#dirty.add(nodeId);
    }
    this.#barrierTimer?.cancel();
    this.#barrierTimer = undefined;
    if (released.length > 0) {
      this.#flush(false);
      return;
    }
    const deadline = this.#barrier.nextDeadline;
    if (deadline === undefined) return;
    this.#barrierTimer = clock.after(deadline - clock.monotonicMs(), () => this.#release());
  }

  /** What agents are told of a network now. */
  tableOf(id: NetworkId): NetworkTable | undefined {
    return this.#tables.of(id)?.table;
  }

  #participants(networks: readonly NetworkId[]): readonly Participant[] {
    const { view, sessions, isAlive } = this.#options;
    const ingress = new Set(ingressNetworks(view));
    const everywhere = networks.some((id) => ingress.has(id));
    const attached = new Set(
      networks.flatMap((id) => [...view.tasksOfNetwork(id)].map((task) => task.nodeId)),
    );
    for (const { networkId, nodeId } of view.list('attachment')) {
      if (networks.includes(networkId)) attached.add(nodeId);
    }
    const found: Participant[] = [];
    for (const { id: nodeId } of view.list('node')) {
      if (!isAlive(nodeId)) continue;
      const session = sessions.get(nodeId);
      if (session) found.push(...pending(session, networks));
      else if (everywhere || attached.has(nodeId)) found.push({ nodeId });
    }
    return found;
  }
}

/** Nothing when it holds no such table, or acknowledged what it was told last before anybody asked. */
function pending(session: Session, networks: readonly NetworkId[]): readonly Participant[] {
  const tableSequence = session.tableSequence(networks);
  if (tableSequence === undefined || session.acknowledged >= tableSequence) return [];
  return [{ nodeId: session.nodeId, session: { id: session.id, tableSequence } }];
}
