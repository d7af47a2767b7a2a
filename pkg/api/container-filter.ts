import type { DockerJson } from './engine.ts';
import { invalid } from './failure.ts';
import { type Filters, flagFilter } from './filters.ts';

export const CONTAINER_FILTERS = [
  'ancestor',
  'before',
  'exited',
  'health',
  'id',
  'is-task',
  'label',
  'name',
  'network',
  'since',
  'status',
  'volume',
];

const TASK_LABEL = 'com.docker.swarm.task.id';
const STATES = ['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead'];

/** The fields of ContainerSummary that filters look at. */
interface Summary {
  readonly Id?: string;
  readonly Names?: readonly string[];
  readonly Image?: string;
  readonly ImageID?: string;
  readonly Labels?: Readonly<Record<string, string>> | null;
  readonly State?: string;
  readonly Status?: string;
  readonly Created?: number;
  readonly NetworkSettings?: { readonly Networks?: Readonly<Record<string, DockerJson>> };
  readonly Mounts?: readonly { readonly Name?: string; readonly Destination?: string }[];
}

/** Filters over rendered ContainerSummary objects; `list` is what `before` and `since` refer to. */
export function containerMatcher(
  filters: Filters,
  list: readonly DockerJson[],
): (container: DockerJson) => boolean {
  const unknown = filters.values('status').find((state) => !STATES.includes(state));
  if (unknown !== undefined) throw invalid(`invalid filter 'status=${unknown}'`);
  const before = createdOf(filters.values('before')[0], list);
  const since = createdOf(filters.values('since')[0], list);
  const isTask = flagFilter(filters, 'is-task');
  return (json) => {
    const container = json as Summary;
    const created = container.Created ?? 0;
    return (
      matchesIdentity(container, filters) &&
      matchesState(container, filters) &&
      matchesSurroundings(container, filters) &&
      (before === undefined || created < before) &&
      (since === undefined || created > since) &&
      (isTask === undefined || isTask === (container.Labels?.[TASK_LABEL] !== undefined))
    );
  };
}

function matchesIdentity(container: Summary, filters: Filters): boolean {
  const names = container.Names ?? [];
  return (
    filters.prefix('id', container.Id) &&
    filters.any('name', (value) => names.some((name) => matchesName(name, value))) &&
    filters.labels('label', container.Labels) &&
    filters.any(
      'ancestor',
      (value) =>
        container.Image === value ||
        container.Image === `${value}:latest` ||
        container.ImageID === value ||
        container.ImageID?.startsWith(`sha256:${value}`) === true,
    )
  );
}

/** Names are regular expressions to Docker, with or without the leading slash; anything else is taken literally. */
function matchesName(name: string, asked: string): boolean {
  const bare = name.replace(/^\//, '');
  try {
    const pattern = new RegExp(asked);
    return pattern.test(bare) || pattern.test(name);
  } catch {
    return bare.includes(asked);
  }
}

function matchesState(container: Summary, filters: Filters): boolean {
  const { State = '', Status = '' } = container;
  const exit = /^Exited \((\d+)\)/.exec(Status)?.[1];
  const health = /\((healthy|unhealthy|health: starting)\)/.exec(Status)?.[1];
  return (
    filters.exact('status', State) &&
    filters.exact('exited', exit) &&
    filters.exact('health', health === 'health: starting' ? 'starting' : (health ?? 'none'))
  );
}

function matchesSurroundings(container: Summary, filters: Filters): boolean {
  const networks = Object.entries(container.NetworkSettings?.Networks ?? {});
  const mounts = container.Mounts ?? [];
  return (
    filters.any('network', (value) =>
      networks.some(([name, network]) => name === value || network['NetworkID'] === value),
    ) &&
    filters.any('volume', (value) =>
      mounts.some(({ Name, Destination }) => Name === value || Destination === value),
    )
  );
}

function createdOf(asked: string | undefined, list: readonly DockerJson[]): number | undefined {
  if (asked === undefined) return undefined;
  const found = (list as readonly Summary[]).find(
    ({ Id, Names }) => Id?.startsWith(asked) === true || Names?.includes(`/${asked}`) === true,
  );
  if (!found) throw invalid(`No such container: ${asked}`);
  return found.Created;
}
