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
    const group = source.slice(GROUP.length);
    let refusal: { readonly obstacle: Obstacle } | undefined;
    for (const volume of this.#group(group)) {
      if (place.chosen.some(({ volumeId }) => volumeId === volume.id)) continue;
      const no = this.#refusal(volume, wish, place);
      if (!no) return volume;
      refusal ??= no;
    }
    return refusal ?? service(`create another volume of group ${group}`);
  }

  /** Those with the fewest tasks first. */
  #group(group: string): readonly Volume[] {
    return [...this.#view.list('volume')]
      .filter((volume) => volume.spec.ClusterVolumeSpec.Group === group && !volume.removing)
      .toSorted(
        (left, right) =>
          this.#usesOf(left.id).size - this.#usesOf(right.id).size ||
          compareText(left.spec.Name, right.spec.Name),
      );
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
    if (volumesMax === undefined) return true;
    let held = 0;
    for (const { id, spec } of this.#view.list('volume')) {
      if (spec.Driver !== name) continue;
      for (const { nodeId } of this.#usesOf(id).values()) {
        if (nodeId !== node.id) continue;
        held += 1;
        break;
      }
    }
    return held < volumesMax;
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
