import type { TaskContainerSpec } from '../../../pkg/engine/index.ts';
import {
  type AppliedChange,
  isTerminal,
  type NodeId,
  type Task,
  type TaskId,
  type View,
} from '../../../pkg/model/index.ts';
import type { Batch } from '../../../pkg/store/index.ts';
import {
  checkFailureRatio,
  checkKeepsServing,
  checkNetworks,
  checkParallelism,
  checkResources,
  checkRevisions,
  checkTaskMoves,
  checkUnique,
} from '../decide-checker.ts';
import type { World } from '../store/world.ts';
import type { Host } from './host.ts';
import type { RuntimeWitness } from './runtime.ts';

export interface Counts {
  entries: number;
  started: number;
  /** Stops at which every kernel had to know already. */
  drains: number;
  faults: number;
  /** Copies of fenced slots that the end of their lease killed, or kept from starting. */
  fenced: number;
}

/** A decision is committed so long after it was made, at most, while nothing is wrong. */
const ON_THE_WAY_MS = 500;
/** After a fault so long, nobody is waited for any more, and everybody who lives has caught up. */
const CALM_MS = 6_000;

/** What must be true at every moment: of what is replicated, and of what machines really do. */
export class Judge implements RuntimeWitness {
  readonly counts: Counts = { entries: 0, started: 0, drains: 0, faults: 0, fenced: 0 };
  readonly #world: World;
  readonly #hosts: readonly Host[];
  readonly #note: (line: string) => void;
  readonly #isCut: (host: Host) => boolean;
  #newest = 0;
  #view: View | undefined;
  #faultAt = Number.NEGATIVE_INFINITY;
  /** When the last change of a service or node took effect, by its id. */
  readonly #changedAt = new Map<string, number>();
  problem: string | undefined;
  /** Changes of services and tasks so far. */
  changes = 0;

  constructor(
    world: World,
    hosts: readonly Host[],
    watch: {
      readonly note: (line: string) => void;
      /** Whether some manager has no way to the host at present. */
      readonly isCut: (host: Host) => boolean;
    },
  ) {
    this.#world = world;
    this.#hosts = hosts;
    this.#note = watch.note;
    this.#isCut = watch.isCut;
  }

  fault(what: string): void {
    this.counts.faults++;
    this.disturbed(what);
  }

  /** A fault began or ended. */
  disturbed(what: string): void {
    this.#faultAt = this.#world.now;
    this.#note(what);
  }

  /** An entry took effect on a manager; each is judged once, where it is known first. */
  applied(batch: Batch, view: View): void {
    if (batch.index <= this.#newest) return;
    this.#newest = batch.index;
    this.#view = view;
    this.counts.entries++;
    const { changes } = batch;
    for (const change of changes) this.#noteChange(change, batch);
    this.#found([
      ...checkTaskMoves(changes),
      ...checkKeepsServing(view, changes, {
        until: batch.now - ON_THE_WAY_MS,
        isNews: (id) => this.#world.now - (this.#changedAt.get(id) ?? 0) <= ON_THE_WAY_MS,
      }),
      ...checkParallelism(changes),
      ...checkFailureRatio(view, changes),
      ...checkUnique(view),
      ...checkRevisions(view),
      ...checkNetworks(view),
      ...checkResources(view),
    ]);
  }

  #noteChange({ kind, before, after }: AppliedChange, { index }: Batch): void {
    if ((kind === 'service' || kind === 'node') && after) {
      this.#changedAt.set(after.id, this.#world.now);
    }
    if (kind === 'service') {
      this.changes++;
      const status = after ? JSON.stringify(after.updateStatus ?? {}) : 'removed';
      this.#note(`#${index} ${(after ?? before)?.id}: ${status}`);
    }
    if (kind !== 'task') return;
    if (isMoved(before, after)) this.changes++;
    if (after) this.#note(`#${index} ${describe(after)}`);
  }

  started(spec: TaskContainerSpec): void {
    this.counts.started++;
    for (const host of this.#hosts) {
      for (const other of host.runtime.running()) {
        if (other !== spec) this.#compare(spec, other, host.nodeId);
      }
    }
  }

  /** Promise S7: no kernel sends new connections to it, unless somebody could not be told. */
  signalled({ taskId, networks }: TaskContainerSpec): void {
    const task = this.#view?.get('task', taskId as TaskId);
    const wanted = task?.desiredState !== 'shutdown' && task?.desiredState !== 'remove';
    if (!task || wanted || networks.length === 0 || isTerminal(task.status.state)) return;
    if (this.#world.now - this.#faultAt < CALM_MS) return;
    this.counts.drains++;
    for (const host of this.#hosts) {
      // One that was lost by mistake a while ago is given up later than anybody is waited for.
      if (!host.isUp || host.standsStill || this.#isCut(host)) continue;
      if (this.#view?.get('node', host.nodeId)?.status.state !== 'ready') continue;
      for (const { endpoints } of host.tables) {
        const endpoint = endpoints.find((one) => one.taskId === taskId);
        if (endpoint?.state === 'in-service') {
          this.#found([`task ${taskId} was signalled while ${host.nodeId} still sends to it`]);
        }
      }
    }
  }

  fenced(spec: TaskContainerSpec): void {
    this.counts.fenced++;
    this.#note(`${spec.taskId} is fenced off on ${spec.nodeId}`);
  }

  #compare(spec: TaskContainerSpec, other: TaskContainerSpec, otherNode: NodeId): void {
    if (spec.taskId === other.taskId) {
      this.#found([`task ${spec.taskId} runs on ${spec.nodeId} and ${otherNode}`]);
      return;
    }
    const sameSlot =
      spec.serviceId === other.serviceId && spec.slot > 0 && spec.slot === other.slot;
    if (sameSlot && spec.fenceMs !== undefined && other.fenceMs !== undefined) {
      const slot = `slot ${spec.slot} of ${spec.serviceId}`;
      this.#found([`fenced ${slot} has two copies: ${spec.taskId}, ${other.taskId}`]);
    }
    const shared = [...claimsOf(spec)].filter((claim) => claimsOf(other).has(claim));
    if (shared.length === 0) return;
    this.#found([`${shared.join()} is used by ${spec.taskId} and ${other.taskId} of ${otherNode}`]);
  }

  #found(problems: readonly string[]): void {
    if (problems.length > 0) this.problem ??= problems.join('; ');
  }
}

function describe(task: Task): string {
  const { id, serviceId, slot, specVersion, desiredState, nodeId, status } = task;
  const what = `${id} of ${serviceId} slot ${slot} v${specVersion}`;
  return `${what}: ${desiredState}/${status.state} on ${nodeId ?? '-'} ${status.error ?? ''}`;
}

/** What the dispatcher alone notes of a task decides nothing. */
function isMoved(before: Task | undefined, after: Task | undefined): boolean {
  return (
    before?.desiredState !== after?.desiredState ||
    before?.status.state !== after?.status.state ||
    before?.nodeId !== after?.nodeId
  );
}

/** What no two running containers may have both. */
function claimsOf({ networks, hostPorts, nodeId }: TaskContainerSpec): ReadonlySet<string> {
  return new Set([
    ...networks.flatMap(({ networkId, addresses }) =>
      addresses.map((address) => `address ${networkId} ${address}`),
    ),
    ...hostPorts
      .filter(({ publishedPort }) => publishedPort > 0)
      .map(({ protocol, publishedPort }) => `port ${nodeId} ${protocol}/${publishedPort}`),
  ]);
}
