import type { TaskEngine } from '../engine/index.ts';
import type { Clock, Logger, Random } from '../io/index.ts';
import {
  compareTaskState,
  errorMessage,
  type NetworkId,
  type NetworkTable,
  type NodeDescription,
  type NodeRole,
  type TaskId,
  type TaskStatus,
} from '../model/index.ts';
import type { HostNetwork } from '../overlaynet/index.ts';
import type {
  AgentSession,
  AssignmentChanges,
  Credentials,
  ManagerMessage,
  TaskAssignment,
} from '../rpc/index.ts';
import type { Attachments } from './attachments.ts';
import { Dependencies } from './dependencies.ts';
import { LeaseGate } from './lease-gate.ts';
import { LogPublisher } from './log-publisher.ts';
import type { ManagerLink } from './manager-link.ts';
import { nextTables } from './network-table.ts';
import { Reporter } from './reporter.ts';
import { keepSession } from './session.ts';
import { TaskController } from './task-controller.ts';
import { type RecordFile, TaskDb, type TaskRecords } from './task-db.ts';
import type { TaskSurroundings } from './task-spec.ts';
import type { HostVolume } from './task-volumes.ts';
import type { Volumes, VolumesLink } from './volumes.ts';

export interface WorkerOptions {
  readonly credentials: Credentials;
  /** Begins a connection to the manager at host:port. */
  readonly connect: (address: string) => ManagerLink;
  readonly engine: TaskEngine;
  readonly network: Pick<HostNetwork, 'applyTables' | 'flowsForgotten' | 'check'>;
  /** Standalone containers of this host on networks of the cluster. */
  readonly attachments?: Attachments | undefined;
  /** Cluster volumes of this host. */
  readonly volumes?: Volumes | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Assignments are kept here; survives reboots. */
  readonly records: RecordFile;
  /** host:port of managers to begin with; newer ones that the leader names are used and remembered. */
  readonly managers: readonly string[];
  readonly description: () => NodeDescription;
  /** Device nodes that belong to generic resources; none without it. */
  readonly devicesOf?: TaskSurroundings['devicesOf'] | undefined;
  /** Underlay address of this node; empty: as the manager sees it. */
  readonly address: string;
  /** Role that the cluster wants this node to have; told at the beginning of a session and at each change. */
  readonly onRole?: ((role: NodeRole) => void) | undefined;
  /** Milliseconds without any manager after which tasks that end are started again here (10 000). */
  readonly aloneAfterMs?: number | undefined;
  /** The leader named the managers. */
  readonly onManagers?: ((addresses: readonly string[]) => void) | undefined;
}

const RETRY_MS = 500;
const FORMER_MANAGERS_MAX = 8;
/** Several times what a new leader needs. */
const ALONE_AFTER_MS = 10_000;

/** What the cluster wants of this machine, carried out: one controller per task, one session with the leader. */
export class Worker {
  readonly #options: WorkerOptions;
  readonly #controllers = new Map<TaskId, TaskController>();
  readonly #removing = new Map<TaskId, TaskController>();
  readonly #dependencies = new Dependencies();
  readonly #db: TaskDb;
  readonly #hostname: string;
  readonly #reporter: Reporter;
  readonly #logs: LogPublisher;
  readonly #lease: LeaseGate;
  #tables: ReadonlyMap<NetworkId, NetworkTable> = new Map();
  /** The kernel holds `#tables`. */
  #tablesApplied = true;
  #managers: readonly string[];
  #formerManagers: readonly string[] = [];
  #session: AgentSession | undefined;
  /** The next session has to be told again how the host is. */
  #describesAnew = false;
  /** When the last session ended, or this agent began. */
  #disconnectedAtMs: number;
  #link: ManagerLink | undefined;

  constructor(options: WorkerOptions) {
    const { engine, log, credentials } = options;
    this.#options = options;
    // Describing the host asks its kernel: nothing for every look at a task.
    this.#hostname = options.description().hostname;
    this.#managers = options.managers;
    this.#disconnectedAtMs = options.clock.monotonicMs();
    this.#db = new TaskDb(options.records, options);
    this.#reporter = new Reporter({
      clock: options.clock,
      all: (): Iterable<readonly [TaskId, TaskStatus]> => this.#statuses(),
      keep: (): void => this.#db.saveIfDue(),
    });
    this.#lease = new LeaseGate(engine);
    this.#logs = new LogPublisher({ engine, nodeId: credentials.identity.nodeId, log });
  }

  /** Managers heard of last, for `docker info`. */
  get managers(): readonly string[] {
    return this.#managers;
  }

  /** A leader knows this node at present. */
  get isConnected(): boolean {
    return this.#session !== undefined;
  }

  /** The host is not as it was described any more. */
  describe(): void {
    const description = this.#options.description();
    // A session that is just beginning may have been told the old one.
    this.#describesAnew = this.#session === undefined;
    this.#session?.send({ kind: 'describe', description });
  }

  /**
   * Takes up the tasks of before, then follows the leader until the signal. Containers keep running when it returns.
   * The engine must have found its containers already.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { engine, attachments } = this.#options;
    attachments?.join((id) => this.#tablesApplied && this.#tables.has(id));
    this.#readopt();
    this.#options.volumes?.join(this.#volumesLink());
    const unsubscribe = engine.onTaskEvent(({ taskId }) => {
      this.#controllers.get(taskId as TaskId)?.look();
      this.#options.volumes?.look();
    });
    try {
      await keepSession(
        {
          ...this.#options,
          managers: () => this.#managers,
          formerManagers: () => this.#formerManagers,
          leaseTimeMs: () => engine.leaseTimeMs(),
          handlers: {
            known: (atMs) => this.#lease.known(atMs),
            began: (session, link) => this.#began(session, link),
            ended: () => this.#ended(),
            message: (message, session) => this.#message(message, session),
          },
        },
        signal,
      );
    } finally {
      unsubscribe();
      this.#options.volumes?.leave();
      for (const controller of this.#controllers.values()) controller.leave();
      this.#db.save(this.#records());
    }
  }

  /** This host leaves the cluster: stops and removes every task's container and forgets everything. After `run`. */
  async removeEverything(): Promise<void> {
    const { engine, network, attachments } = this.#options;
    await Promise.all(
      engine.tasks().map(async ({ taskId }) => {
        await engine.stopTask(taskId);
        await engine.removeTask(taskId);
      }),
    );
    attachments?.leave();
    network.applyTables([]);
    await this.#options.volumes?.removeEverything();
    this.#controllers.clear();
    this.#dependencies.clear();
    this.#tables = new Map();
    this.#db.keepTables(this.#tables);
    this.#db.save(this.#records());
  }

  #readopt(): void {
    const { tasks, managers, formerManagers } = this.#db.load();
    const networks = this.#options.records.tables.read();
    this.#formerManagers = formerManagers;
    this.#managers = [...new Set([...managers, ...this.#managers])];
    if (networks.length > 0) {
      this.#tables = new Map(networks.map((table) => [table.networkId, table]));
      this.#applyTables();
    }
    for (const { task, spec, status } of tasks) this.#control({ task, spec }, status);
  }

  #began(session: AgentSession, link: ManagerLink): void {
    this.#session = session;
    this.#link = link;
    this.#lease.close(session);
    this.#reporter.attach(session);
    if (this.#describesAnew) this.describe();
    // What ended meanwhile is the managers' again.
    for (const controller of this.#controllers.values()) controller.look();
    this.#options.attachments?.began((wishes) => link.claimAttachments(wishes));
  }

  #ended(): void {
    this.#session = undefined;
    this.#link = undefined;
    this.#lease.close();
    this.#disconnectedAtMs = this.#options.clock.monotonicMs();
    this.#reporter.detach();
    this.#options.attachments?.ended();
    this.#logs.endAll();
  }

  #message(message: ManagerMessage, session: AgentSession): void {
    switch (message.kind) {
      case 'assignments':
        this.#assign(message, session);
        break;
      case 'managers':
        this.#hearOfManagers(message.addresses);
        break;
      case 'role':
        this.#options.onRole?.(message.role);
        break;
      case 'log-request':
        if (this.#link) this.#logs.start(message.subscription, message.request, this.#link);
        break;
      case 'log-end':
        this.#logs.end(message.subscription);
        break;
      case 'check-network':
        this.#checkNetwork(message, session);
        break;
      default:
        break;
    }
  }

  #hearOfManagers(addresses: readonly string[]): void {
    const known = new Set([...this.#managers, ...this.#formerManagers]);
    for (const address of addresses) known.delete(address);
    this.#formerManagers = [...known].slice(0, FORMER_MANAGERS_MAX);
    this.#managers = addresses;
    this.#options.onManagers?.(addresses);
    this.#saveSoon();
  }

  #checkNetwork(
    { number, networkId }: Extract<ManagerMessage, { kind: 'check-network' }>,
    session: AgentSession,
  ): void {
    const { network, log } = this.#options;
    network.check(networkId).then(
      (check) => {
        if (this.#session === session) session.send({ kind: 'network-checked', number, check });
      },
      (error: unknown) => log.error('network not checked', { network: networkId, error }),
    );
  }

  /** Order matters: what tasks need, then the networks and their acknowledgement, then the tasks. */
  #assign(
    { sequence, complete, changes }: Extract<ManagerMessage, { kind: 'assignments' }>,
    session: AgentSession,
  ): void {
    const before = [...this.#controllers.values()];
    this.#dependencies.apply(changes, complete);
    if (this.#updateTables(changes, complete)) this.#acknowledge(sequence, session);
    else this.#applyLater(sequence, session);
    for (const assignment of changes.tasks) this.#task(assignment);
    for (const taskId of changes.removedTasks) this.#remove(taskId);
    if (complete) this.#removeUnknown(new Set(changes.tasks.map(({ task }) => task.id)));
    this.#options.volumes?.assign(changes, complete);
    for (const controller of this.#controllers.values()) controller.look();
    if (complete) {
      const unwanted = before.flatMap(({ unwantedStart }) => unwantedStart ?? []);
      void this.#lease.openAfter(unwanted, session);
    }
    // Tables are kept by themselves: a backend that comes or goes elsewhere costs no flush of this disk.
    if (complete || touchesTasks(changes) || this.#db.isBehind) this.#saveSoon();
  }

  #updateTables(changes: AssignmentChanges, complete: boolean): boolean {
    const tables = nextTables(complete ? new Map() : this.#tables, changes);
    const same = tables === this.#tables && !complete;
    if (same && this.#tablesApplied) return true;
    this.#tables = tables;
    // Before the kernel has them: an agent that starts again puts it right, not back.
    this.#db.keepTables(tables, complete ? undefined : changes);
    return this.#applyTables();
  }

  #applyTables(): boolean {
    try {
      this.#options.network.applyTables([...this.#tables.values()]);
      this.#tablesApplied = true;
      this.#options.attachments?.tablesApplied();
      return true;
    } catch (error) {
      this.#tablesApplied = false;
      this.#options.log.error('network tables not applied', { error });
      return false;
    }
  }

  /** The manager may end what left the tables: nothing of this host talks to it any more. */
  #acknowledge(sequence: number, session: AgentSession): void {
    void this.#options.network.flowsForgotten().then(() => {
      if (this.#session === session) session.send({ kind: 'acknowledge', sequence });
    });
  }

  /** The kernel refused: try again until it takes them or the session is another one. */
  #applyLater(sequence: number, session: AgentSession): void {
    this.#options.clock.after(RETRY_MS, () => {
      if (this.#session !== session) return;
      if (this.#applyTables()) this.#acknowledge(sequence, session);
      else this.#applyLater(sequence, session);
    });
  }

  #task(assignment: TaskAssignment): void {
    const { task } = assignment;
    const known = this.#controllers.get(task.id);
    if (known) known.update(assignment);
    else if (!this.#removing.has(task.id)) this.#control(assignment, task.status);
  }

  #control(assignment: TaskAssignment, status: TaskStatus): void {
    const { engine, clock, log } = this.#options;
    const { id } = assignment.task;
    const controller = new TaskController(assignment, status, {
      engine,
      clock,
      log,
      surroundings: (): TaskSurroundings => this.#surroundings(),
      aloneFrom: (): number | undefined => this.#aloneFrom(),
      onStatus: (next): void => {
        this.#reporter.report(id, next);
        this.#options.volumes?.look();
        this.#saveSoon();
      },
    });
    this.#controllers.set(id, controller);
  }

  #remove(taskId: TaskId): void {
    const controller = this.#controllers.get(taskId);
    if (!controller) return;
    this.#controllers.delete(taskId);
    this.#reporter.forget(taskId);
    this.#removing.set(taskId, controller);
    void controller
      .remove()
      .catch((error: unknown) => {
        this.#options.log.error('task not removed', { task: taskId, error: errorMessage(error) });
      })
      .finally(() => {
        this.#removing.delete(taskId);
        this.#options.volumes?.look();
      });
  }

  /** Everything that the cluster does not know goes: assignments and containers alike. */
  #removeUnknown(wanted: ReadonlySet<string>): void {
    const { engine, log } = this.#options;
    for (const taskId of [...this.#controllers.keys()])
      if (!wanted.has(taskId)) this.#remove(taskId);
    for (const { taskId } of engine.tasks()) {
      if (wanted.has(taskId) || this.#removing.has(taskId as TaskId)) continue;
      engine
        .stopTask(taskId)
        .then(() => engine.removeTask(taskId))
        .catch((error: unknown) => {
          log.warn('stray container not removed', { task: taskId, error: errorMessage(error) });
        });
    }
  }

  #volumesLink(): VolumesLink {
    return {
      secrets: (): ReadonlyMap<string, Uint8Array> => this.#dependencies.secrets,
      isUsed: (id): boolean =>
        [...this.#controllers.values(), ...this.#removing.values()].some((one) =>
          one.holdsVolume(id),
        ),
      onArrival: (): void => {
        for (const controller of this.#controllers.values()) controller.look();
      },
      report: (statuses): void => {
        this.#session?.send({ kind: 'volume-report', statuses });
      },
    };
  }

  *#statuses(): Iterable<readonly [TaskId, TaskStatus]> {
    for (const [taskId, { status, assignment }] of this.#controllers) {
      if (compareTaskState(status.state, assignment.task.status.state) >= 0) yield [taskId, status];
    }
  }

  #aloneFrom(): number | undefined {
    if (this.#session !== undefined) return undefined;
    return this.#disconnectedAtMs + (this.#options.aloneAfterMs ?? ALONE_AFTER_MS);
  }

  #surroundings(): TaskSurroundings {
    const { credentials } = this.#options;
    return {
      nodeId: credentials.identity.nodeId,
      hostname: this.#hostname,
      tables: this.#tables,
      secrets: this.#dependencies.secrets,
      configs: this.#dependencies.configs,
      templated: this.#dependencies.templated,
      devicesOf: this.#options.devicesOf ?? noDevices,
      volume: (id): HostVolume | undefined => this.#options.volumes?.find(id),
    };
  }

  #saveSoon(): void {
    this.#db.saveSoon(() => this.#records());
  }

  #records(): TaskRecords {
    return {
      tasks: [...this.#controllers.values()].map(({ assignment, status }) => ({
        ...assignment,
        status,
      })),
      managers: this.#managers,
      formerManagers: this.#formerManagers,
    };
  }
}

function touchesTasks({ tasks, removedTasks }: AssignmentChanges): boolean {
  return tasks.length > 0 || removedTasks.length > 0;
}

function noDevices(): readonly string[] {
  return [];
}
