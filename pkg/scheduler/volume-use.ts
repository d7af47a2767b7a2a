import {
  compareText,
  isOnOneNode,
  type Node,
  type NodeDriver,
  type NodeId,
  type ServiceSpec,
  type Task,
  type TaskId,
  type TaskVolume,
  taskName,
  type View,
  type Volume,
  type VolumeId,
  volumeAvailability,
  volumeHolders,
  volumeSharing,
} from '../model/index.ts';

interface Use {
  readonly nodeId: NodeId | undefined;
  readonly readOnly: boolean;
  readonly task: string;
}

interface Wish {
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
}

/** Why a volume cannot serve: what would help, on the node or once for all; without a text nothing would. */
export interface Obstacle {
  readonly text?: string | undefined;
  readonly where: 'node' | 'service';
}

export type Pick =
  | { readonly volumes: readonly TaskVolume[]; readonly obstacle?: undefined }
  | { readonly volumes?: undefined; readonly obstacle: Obstacle };

const GROUP = 'group:';

/** Mounts of type `cluster`. */
export function volumeWishes(spec: ServiceSpec): readonly Wish[] {
  return (spec.TaskTemplate?.ContainerSpec?.Mounts ?? [])
    .filter(({ Type }) => Type === 'cluster')
    .map(({ Source, Target, ReadOnly }) => ({
      source: Source ?? '',
      target: Target ?? '',
      readOnly: ReadOnly ?? false,
    }));
}

/** Which task uses which cluster volume: as the view has it, and as this pass has decided since. */
export class VolumeUse {
  readonly #view: View;
  readonly #without: TaskId | undefined;
  readonly #uses = new Map<VolumeId, Map<TaskId, Use>>();
  readonly #groups = new Map<string, Group>();
  /** Number of volumes that nodes hold, by driver. */
  readonly #held = new Map<string, Map<NodeId, number>>();

  /** `without`: a task that does not count. */
  constructor(view: View, without?: TaskId) {
    this.#view = view;
    this.#without = without;
  }

  /** A volume for every mount that wants one, or why there is none. */
  pick(wishes: readonly Wish[], node: Node): Pick {
    const volumes: TaskVolume[] = [];
    for (const wish of wishes) {
      const found = this.#find(wish, { node, chosen: volumes });
      if ('obstacle' in found) return { obstacle: found.obstacle };
      volumes.push({ volumeId: found.id, ...wish });
    }
    return { volumes };
  }

  /** The task has them now; others of the same pass see it. */
  take(task: Task): void {
    for (const { volumeId, readOnly } of task.volumes ?? []) {
      const use = { nodeId: task.nodeId, readOnly, task: taskName(task) };
      const uses = this.#usesOf(volumeId);
      this.#noteHeld(volumeId, uses, task.nodeId);
      uses.set(task.id, { ...use, readOnly: readOnly && (uses.get(task.id)?.readOnly ?? true) });
    }
  }

  #find(wish: Wish, place: Place): Volume | { readonly obstacle: Obstacle } {
    const { source } = wish;
    if (!source.startsWith(GROUP)) {
      const volume = this.#view.byName('volume', source);
      if (!volume || volume.removing) return service(`create volume ${source}`);
      return this.#refusal(volume, wish, place) ?? volume;
    }
    const name = source.slice(GROUP.length);
    const group = this.#group(name);
    let refusal: { readonly obstacle: Obstacle } | undefined;
    for (const volume of group.open) {
      if (place.chosen.some(({ volumeId }) => volumeId === volume.id)) continue;
      const no = this.#refusal(volume, wish, place);
      if (!no) return volume;
      refusal ??= no;
    }
    const [full] = group.full;
    refusal ??= full && this.#refusal(full, wish, place);
    return refusal ?? service(`create another volume of group ${name}`);
  }

  #group(group: string): Group {
    const known = this.#groups.get(group);
    if (known) return known;
    const volumes = [...this.#view.list('volume')]
      .filter((volume) => volume.spec.ClusterVolumeSpec.Group === group && !volume.removing)
      .toSorted(
        (left, right) =>
          this.#usesOf(left.id).size - this.#usesOf(right.id).size ||
          compareText(left.spec.Name, right.spec.Name),
      );
    const isFull = (volume: Volume): boolean =>
      volumeSharing(volume) === 'none' && this.#usesOf(volume.id).size > 0;
    const found = {
      open: volumes.filter((volume) => !isFull(volume)),
      full: volumes.filter(isFull),
    };
    this.#groups.set(group, found);
    return found;
  }

  #refusal(
    volume: Volume,
    { readOnly }: Wish,
    { node }: Place,
  ): { readonly obstacle: Obstacle } | undefined {
    const { Name: name, Driver } = volume.spec;
    if (!volume.info) return service(`have volume ${name} created by its driver`);
    if (volumeAvailability(volume) !== 'active') return service(`make volume ${name} active`);
    const driver = node.description?.csi?.find((one) => one.name === Driver);
    if (!driver) return { obstacle: { text: `start CSI driver ${Driver}`, where: 'node' } };
    if (!isInTopology(driver, volume.info.topology)) return { obstacle: { where: 'node' } };
    const others = [...this.#usesOf(volume.id).values()];
    const inWay = otherInTheWay(volume, others, { nodeId: node.id, readOnly });
    if (inWay) return service(`stop ${inWay.task}, which uses volume ${name}`);
    if (volumeSharing(volume) === 'readonly' && !readOnly) {
      return service(`mount volume ${name} read-only`);
    }
    if (others.some(({ nodeId }) => nodeId === node.id)) return undefined;
    return this.#hasRoom(node, driver)
      ? undefined
      : { obstacle: { text: `free a volume of driver ${Driver}`, where: 'node' } };
  }

  #hasRoom(node: Node, { name, volumesMax }: NodeDriver): boolean {
    return volumesMax === undefined || (this.#heldOf(name).get(node.id) ?? 0) < volumesMax;
  }

  #heldOf(driver: string): Map<NodeId, number> {
    const known = this.#held.get(driver);
    if (known) return known;
    const held = new Map<NodeId, number>();
    for (const { id, spec } of this.#view.list('volume')) {
      if (spec.Driver !== driver) continue;
      for (const nodeId of nodesOf(this.#usesOf(id))) held.set(nodeId, (held.get(nodeId) ?? 0) + 1);
    }
    this.#held.set(driver, held);
    return held;
  }

  /** Before the use of the volume on the node counts. */
  #noteHeld(id: VolumeId, uses: Map<TaskId, Use>, nodeId: NodeId | undefined): void {
    const spec = this.#view.get('volume', id)?.spec;
    if (spec === undefined) return;
    this.#groups.delete(spec.ClusterVolumeSpec.Group ?? '');
    const held = this.#held.get(spec.Driver ?? '');
    if (held === undefined || nodeId === undefined || nodesOf(uses).has(nodeId)) return;
    held.set(nodeId, (held.get(nodeId) ?? 0) + 1);
  }

  #usesOf(id: VolumeId): Map<TaskId, Use> {
    const known = this.#uses.get(id);
    if (known) return known;
    const uses = new Map<TaskId, Use>();
    this.#uses.set(id, uses);
    for (const task of volumeHolders(this.#view, id)) {
      if (task.id === this.#without) continue;
      const mounts = (task.volumes ?? []).filter(({ volumeId }) => volumeId === id);
      const readOnly = mounts.every((mount) => mount.readOnly);
      uses.set(task.id, { nodeId: task.nodeId, readOnly, task: taskName(task) });
    }
    return uses;
  }
}

function nodesOf(uses: ReadonlyMap<TaskId, Use>): ReadonlySet<NodeId> {
  return new Set([...uses.values()].flatMap(({ nodeId }) => nodeId ?? []));
}

/** The volumes of a group, those with the fewest tasks first. */
interface Group {
  readonly open: readonly Volume[];
  /** No node may use them beside the task that has them. */
  readonly full: readonly Volume[];
}

interface Place {
  readonly node: Node;
  /** For earlier mounts of the same task. */
  readonly chosen: readonly TaskVolume[];
}

function service(text: string): { readonly obstacle: Obstacle } {
  return { obstacle: { text, where: 'service' } };
}

/** The use that forbids another one, as the volume's scope and sharing say. */
function otherInTheWay(
  volume: Volume,
  others: readonly Use[],
  wish: { readonly nodeId: NodeId; readonly readOnly: boolean },
): Use | undefined {
  const elsewhere = others.find(({ nodeId }) => nodeId !== wish.nodeId);
  if (elsewhere && isOnOneNode(volume)) return elsewhere;
  switch (volumeSharing(volume)) {
    case 'none':
      return others[0];
    case 'onewriter':
      return wish.readOnly ? undefined : others.find(({ readOnly }) => !readOnly);
    default:
      return undefined;
  }
}

/** Accessible from everywhere, or from a place that the node is in. A driver that does not tell is trusted. */
function isInTopology(
  { topology }: NodeDriver,
  places: readonly Readonly<Record<string, string>>[],
): boolean {
  if (places.length === 0 || !topology) return true;
  return places.some((place) =>
    Object.entries(place).every(([domain, segment]) => topology[domain] === segment),
  );
}
