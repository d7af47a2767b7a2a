import type { InstantMs, NodeId, ServiceSpec, Task, View } from '../model/index.ts';
import type { Candidate, Filter, FilterName, Remedy } from './filter/filter.ts';
import { measureLoad, type NodeLoad } from './node-load.ts';
import { Pipeline } from './pipeline.ts';
import { spreadKeys, spreadValue } from './preference.ts';
import { badNodes } from './quarantine.ts';
import { Ranking } from './ranking.ts';
import { SpreadTree } from './spread-tree.ts';
import { VolumeUse } from './volume-use.ts';
import { wantReader } from './want.ts';

const SUGGESTIONS_MAX = 5;
const RANKED_MAX = 5;

/** Where a task could be, as the nodes are now; the task itself counts on none of them. */
export interface PlacementExplanation {
  readonly nodesAsked: number;
  readonly nodesThatFit: number;
  /** By the first filter that refuses a node, most nodes first. */
  readonly refusals: readonly {
    readonly filter: FilterName;
    readonly text: string;
    readonly nodes: readonly string[];
  }[];
  /** What would let it run, the least first; empty when something fits. */
  readonly suggestions: readonly Suggestion[];
  /** The best nodes in the order in which they are taken. */
  readonly ranking: readonly RankedNode[];
  readonly strategy: 'spread' | 'binpack';
}

export interface Suggestion {
  readonly text: string;
  /** Host names of the nodes where this alone is enough. */
  readonly nodes: readonly string[];
}

export interface RankedNode {
  readonly id: NodeId;
  readonly hostname: string;
  readonly tasksOfService: number;
  readonly tasks: number;
  /** This version failed here so often lately that other nodes come first. */
  readonly faulty: boolean;
  /** Tasks of several services failed here lately that stand elsewhere. */
  readonly quarantined: boolean;
  /** `prefer` wishes that the node meets, less those of `avoid`. */
  readonly wishes: number;
  /** Share of CPU or memory that would be reserved. */
  readonly fullness: number;
  readonly hasImage: boolean;
  /** Values of the spread preferences, outermost first. */
  readonly spread: readonly { readonly key: string; readonly value: string }[];
}

/** Undefined when the spec of the task is gone. Walks all tasks once. */
export function explainPlacement(
  view: View,
  task: Task,
  now: InstantMs,
): PlacementExplanation | undefined {
  const wants = wantReader(view);
  const want = wants(task);
  if (!want) return undefined;
  const candidate: Candidate = { task, spec: want.spec, volumes: new VolumeUse(view, task.id) };
  const loads = measureLoad(view, (other) => wants(other)?.demand, now, task.id);
  const asked = nodesAsked(view, task, loads);
  const surroundings = { loads: loads.values(), bad: badNodes(loads) };
  const ranking = new Ranking(view, want, task, surroundings);
  const refused: Refused[] = [];
  const fitting: NodeLoad[] = [];
  const pipeline = new Pipeline(candidate);
  for (const load of asked) {
    const filters = pipeline.allRefusing(load);
    if (filters.length > 0) refused.push({ load, filters });
    else fitting.push(load);
  }
  return {
    nodesAsked: asked.length,
    nodesThatFit: fitting.length,
    refusals: refusalsOf(refused, candidate),
    suggestions: fitting.length > 0 ? [] : suggestionsOf(refused, candidate),
    ranking: rank(fitting, candidate.spec, ranking),
    strategy: want.policy.strategy,
  };
}

/** A task of a global service comes with its node and has no other; a placed one could have had any. */
function nodesAsked(
  view: View,
  task: Task,
  loads: ReadonlyMap<NodeId, NodeLoad>,
): readonly NodeLoad[] {
  const mode = view.get('service', task.serviceId)?.spec.Mode;
  const perNode = mode?.Global !== undefined || mode?.GlobalJob !== undefined;
  if (!perNode) return [...loads.values()];
  const own = task.nodeId === undefined ? undefined : loads.get(task.nodeId);
  return own ? [own] : [];
}

interface Refused {
  readonly load: NodeLoad;
  readonly filters: readonly Filter[];
}

function refusalsOf(
  refused: readonly Refused[],
  candidate: Candidate,
): PlacementExplanation['refusals'] {
  const nodes = new Map<Filter, string[]>();
  for (const { load, filters } of refused) {
    const [first] = filters;
    if (!first) continue;
    const names = nodes.get(first);
    if (names) names.push(hostname(load));
    else nodes.set(first, [hostname(load)]);
  }
  return [...nodes]
    .toSorted(([, left], [, right]) => right.length - left.length)
    .map(([filter, names]) => ({
      filter: filter.name,
      text: filter.explain(names.length, candidate),
      nodes: names,
    }));
}

interface Way {
  readonly load: NodeLoad;
  /** The filters that refuse: ways through the same filters compare. */
  readonly filters: string;
  readonly remedies: readonly Remedy[];
  readonly cost: number;
}

/** Only nodes that need the fewest different changes, and of changes of one kind the smallest. */
function suggestionsOf(refused: readonly Refused[], candidate: Candidate): readonly Suggestion[] {
  const ways = refused.flatMap((node) => wayOf(node, candidate) ?? []);
  const fewest = Math.min(...ways.map(({ remedies }) => remedies.length));
  const groups = new Map<string, { readonly cost: number; readonly ways: Way[] }>();
  const near = cheapest(ways.filter(({ remedies }) => remedies.length === fewest));
  for (const way of near) {
    const key = way.remedies.map(({ text }) => text).join(' and ');
    const group = groups.get(key) ?? { cost: way.cost, ways: [] };
    group.ways.push(way);
    groups.set(key, group);
  }
  return [...groups]
    .toSorted(([, left], [, right]) => left.cost - right.cost)
    .slice(0, SUGGESTIONS_MAX)
    .map(([text, group]) => suggestion(text, group.ways));
}

function cheapest(ways: readonly Way[]): readonly Way[] {
  const least = new Map<string, number>();
  for (const { filters, cost } of ways) {
    least.set(filters, Math.min(cost, least.get(filters) ?? cost));
  }
  return ways.filter(({ filters, cost }) => cost === least.get(filters));
}

/** Undefined when nothing would make the node acceptable. */
function wayOf({ load, filters }: Refused, candidate: Candidate): Way | undefined {
  const remedies = filters.map((filter) => filter.remedy(load, candidate));
  const possible = remedies.filter((remedy) => remedy !== undefined);
  if (possible.length < remedies.length) return undefined;
  const names = filters.map(({ name }) => name).join(' ');
  return {
    load,
    filters: names,
    remedies: possible,
    cost: possible.reduce((sum, { cost }) => sum + cost, 0),
  };
}

function suggestion(what: string, ways: readonly Way[]): Suggestion {
  const nodes = ways.map(({ load }) => hostname(load));
  const onService = ways[0]?.remedies.every(({ where }) => where === 'service') === true;
  const [first = ''] = nodes;
  const count = nodes.length === 1 ? '1 node' : `${nodes.length} nodes`;
  if (onService) return { text: `${what}: ${count} would fit`, nodes };
  if (/^(activate|bring back)$/.test(what)) {
    return {
      text: `${what} ${nodes.length === 1 ? `node ${first}` : 'any of these nodes'}`,
      nodes,
    };
  }
  return { text: `${what} on ${nodes.length === 1 ? first : 'any of these nodes'}`, nodes };
}

function rank(
  fitting: readonly NodeLoad[],
  spec: ServiceSpec,
  ranking: Ranking,
): readonly RankedNode[] {
  const keys = spreadKeys(spec);
  const tree = new SpreadTree(keys, ranking);
  for (const load of fitting) tree.add(load);
  const best: RankedNode[] = [];
  tree.take((load) => {
    best.push({
      id: load.node.id,
      hostname: hostname(load),
      tasksOfService: ranking.tasksOf(load),
      tasks: load.tasks,
      faulty: ranking.isFaulty(load),
      quarantined: ranking.isBad(load),
      wishes: ranking.wishes(load),
      fullness: ranking.fullness(load),
      hasImage: ranking.hasImage(load),
      spread: keys.map((key) => ({ key, value: spreadValue(load.node, key) })),
    });
    return best.length >= RANKED_MAX;
  });
  return best;
}

function hostname({ node }: NodeLoad): string {
  return node.spec.Name || node.description?.hostname || node.id;
}
