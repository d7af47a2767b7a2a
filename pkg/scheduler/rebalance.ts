import {
  type Change,
  type InstantMs,
  inSteps,
  isRunnable,
  isSchedulable,
  type Node,
  type NodeId,
  type Service,
  serviceMode,
  servicePolicy,
  type Task,
  updateObject,
  type View,
} from '../model/index.ts';
import { type Demand, measureLoadInSteps, type NodeLoad } from './node-load.ts';
import { Pipeline } from './pipeline.ts';
import { spreadKeys } from './preference.ts';
import { badNodes } from './quarantine.ts';
import { Ranking } from './ranking.ts';
import { SpreadTree } from './spread-tree.ts';
import { VolumeUse } from './volume-use.ts';
import { wantReader } from './want.ts';

/** A move that makes two nodes differ by as much as before, the other way round, is none. */
const DIFFERENCE_MIN = 2;
/** Nodes with the most tasks of the service from which a move is tried. */
const SOURCES_MAX = 3;
const LOOKS_PER_STEP = 500;

/** What rebalancing does about a service that asks for it. */
export type Balance =
  | { readonly kind: 'balanced' }
  /** Not before everything of the service, and the nodes, have been as they are for the service's pause. */
  | { readonly kind: 'rests'; readonly until: InstantMs }
  /** Tasks are missing, or an update or a move is under way. */
  | { readonly kind: 'busy' }
  | { readonly kind: 'move'; readonly task: Task; readonly node: NodeId };

/**
 * Services that ask for it (`muster.rebalance`) get back the spread they were made with: one task after the other is
 * told to move to a node with at least two fewer of the service. How it moves is up to whoever replaces tasks.
 */
export const decideRebalance = inSteps(function* decideRebalance({ view, now }) {
  const changes: Change[] = [];
  let wakeAt: InstantMs | undefined;
  for (const service of view.list('service')) {
    const balance = yield* balanceInSteps(view, service, now);
    if (balance?.kind === 'move') {
      const { task, node } = balance;
      changes.push(updateObject('task', { ...task, move: { node, at: now } }));
    } else if (balance?.kind === 'rests' && (wakeAt === undefined || balance.until < wakeAt)) {
      wakeAt = balance.until;
    }
  }
  return { changes, wakeAt };
});

/** Undefined for a service that does not ask for it. Walks the tasks of the service. */
export function balanceOf(view: View, service: Service, now: InstantMs): Balance | undefined {
  const steps = balanceInSteps(view, service, now);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

function* balanceInSteps(
  view: View,
  service: Service,
  now: InstantMs,
): Generator<void, Balance | undefined> {
  const { rebalanceMs } = servicePolicy(service.spec);
  const mode = serviceMode(service.spec);
  if (rebalanceMs === 0 || mode.kind !== 'replicated') return undefined;
  const survey = yield* surveyTasks(view, service);
  if (!survey.settled || survey.alive.length !== mode.replicas) return { kind: 'busy' };
  const rested = (since: number): InstantMs => (since + rebalanceMs) as InstantMs;
  const until = rested(survey.changedAt);
  if (until > now) return { kind: 'rests', until };
  for (const task of crowdedNodes(view, survey.alive)) {
    const node = yield* betterNode(view, task, now);
    if (node === undefined) continue;
    // A node that comes and goes is not worth a move.
    const young = rested(node.status.since);
    return young > now ? { kind: 'rests', until: young } : { kind: 'move', task, node: node.id };
  }
  return { kind: 'balanced' };
}

interface Survey {
  readonly alive: readonly Task[];
  /** Everything that is wanted runs, and nothing is on its way somewhere. */
  readonly settled: boolean;
  /** When a task of the service came or went last. */
  readonly changedAt: number;
}

function* surveyTasks(view: View, service: Service): Generator<void, Survey> {
  const alive: Task[] = [];
  const state = service.updateStatus?.state;
  let settled = state === undefined || state === 'completed' || state === 'rollback_completed';
  let changedAt = 0;
  let seen = 0;
  for (const task of view.tasksOfService(service.id)) {
    if (++seen % LOOKS_PER_STEP === 0) yield;
    changedAt = Math.max(changedAt, task.status.at);
    if (!isRunnable(task)) continue;
    alive.push(task);
    settled &&= task.status.state === 'running' && task.move === undefined;
  }
  return { alive, settled, changedAt };
}

/** The youngest task of each node that has clearly more than another could have, of the fullest node first. */
function crowdedNodes(view: View, alive: readonly Task[]): readonly Task[] {
  const tasksOf = new Map<NodeId, Task[]>();
  for (const node of view.list('node')) if (isSchedulable(node)) tasksOf.set(node.id, []);
  for (const task of alive) {
    if (task.nodeId === undefined) continue;
    const tasks = tasksOf.get(task.nodeId);
    if (tasks) tasks.push(task);
    else tasksOf.set(task.nodeId, [task]);
  }
  const least = Math.min(...[...tasksOf.values()].map(({ length }) => length));
  return [...tasksOf.values()]
    .filter(({ length }) => length >= least + DIFFERENCE_MIN)
    .toSorted((left, right) => right.length - left.length)
    .slice(0, SOURCES_MAX)
    .flatMap((tasks) => tasks.at(-1) ?? []);
}

/** Where the task would be placed if it were new, where that is another node with clearly fewer of its service. */
function* betterNode(view: View, task: Task, now: InstantMs): Generator<void, Node | undefined> {
  const wants = wantReader(view);
  const want = wants(task);
  if (!want || task.nodeId === undefined) return undefined;
  const demand = (other: Task): Demand | undefined => wants(other)?.demand;
  const loads = yield* measureLoadInSteps(view, demand, now, task.id);
  const ranking = new Ranking(view, want, task, { loads: loads.values(), bad: badNodes(loads) });
  const tree = new SpreadTree(spreadKeys(want.spec), ranking);
  // The task keeps its volumes until the other one serves.
  const pipeline = new Pipeline({ task, spec: want.spec, volumes: new VolumeUse(view) });
  for (const load of loads.values()) if (pipeline.accepts(load)) tree.add(load);
  let best: NodeLoad | undefined;
  tree.take((load) => {
    best ??= load;
    return true;
  });
  const source = loads.get(task.nodeId);
  if (!best || !source || best === source) return undefined;
  const before = ranking.tasksOf(source) + 1;
  return before - ranking.tasksOf(best) >= DIFFERENCE_MIN ? best.node : undefined;
}
