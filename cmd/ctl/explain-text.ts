import { ago, duration, shortId } from './output.ts';

const NODES_SHOWN = 5;

export interface Placement {
  readonly nodesAsked: number;
  readonly nodesThatFit: number;
  readonly refusals: readonly { readonly text: string; readonly nodes: readonly string[] }[];
  readonly suggestions: readonly { readonly text: string; readonly nodes: readonly string[] }[];
  readonly ranking: readonly {
    readonly id: string;
    readonly hostname: string;
    readonly tasksOfService: number;
    readonly tasks: number;
    readonly faulty: boolean;
    readonly quarantined: boolean;
    readonly wishes: number;
    readonly fullness: number;
    readonly hasImage: boolean;
    readonly spread: readonly { readonly key: string; readonly value: string }[];
  }[];
}

interface Slot {
  readonly slot: string;
  readonly task: string;
  readonly attempts: number;
  readonly failures: number;
  readonly policy: { readonly condition: string; readonly maxAttempts: number };
  readonly gaveUp: boolean;
  readonly startAt?: number;
  readonly waitsFor?: string;
  readonly earlier: readonly {
    readonly id: string;
    readonly state: string;
    readonly at: number;
    readonly exitCode?: number;
    readonly error?: string;
    readonly replacedBecause: string;
  }[];
}

interface TaskSummary {
  readonly id: string;
  readonly serviceName: string;
  readonly slot: number;
  readonly nodeId?: string;
  readonly hostname?: string;
  readonly desiredState: string;
  readonly state: string;
  readonly since: number;
  readonly error?: string;
}

/** A cluster volume that is not on the task's node yet. */
interface AwaitedVolume {
  readonly name: string;
  readonly target: string;
  readonly state: string;
  readonly error?: string;
  /** The node that has to let it go first. */
  readonly leaving?: string;
}

/** The answer of `GET /tasks/{id}/explain`. */
export interface TaskExplained {
  readonly task: TaskSummary;
  readonly placement?: Placement;
  readonly slot?: Slot;
  readonly volumes?: readonly AwaitedVolume[];
  readonly serviceGone: boolean;
}

interface Rebalance {
  readonly state: 'balanced' | 'rests' | 'busy' | 'move';
  readonly until?: number;
  readonly moving: readonly {
    readonly slot: number;
    readonly from?: string;
    readonly to?: string;
  }[];
}

/** The answer of `GET /services/{id}/explain`. */
export interface ServiceExplained {
  readonly service: { readonly name: string; readonly specVersion: number };
  readonly running: number;
  readonly slots: number;
  readonly wanted?: number;
  readonly update?: {
    readonly state: string;
    readonly message: string;
    readonly policy: { readonly failureAction: string };
    readonly slotsTotal: number;
    readonly slotsLeft: number;
    readonly failures: number;
    readonly failuresAllowed: number;
    readonly waitsFor: readonly string[];
  };
  readonly idle: readonly Slot[];
  /** For a service that asks for it. */
  readonly rebalance?: Rebalance | undefined;
  readonly pending: readonly {
    readonly tasks: number;
    readonly example: TaskSummary;
    readonly placement?: Placement;
  }[];
}

export function taskText(explained: TaskExplained, now: number): readonly string[] {
  const { task, placement, slot, volumes = [], serviceGone } = explained;
  const where = task.nodeId === undefined ? 'no node yet' : `node ${task.hostname ?? task.nodeId}`;
  return [
    `${task.serviceName}.${task.slot} (${shortId(task.id)}): ${task.state} since ${ago(task.since, now)}, wanted ${task.desiredState}, ${where}`,
    ...(task.error ? [`  ${task.error}`] : []),
    ...volumes.map(volumeText),
    ...(serviceGone ? ['  its service is gone: it is being removed'] : []),
    ...(placement ? placementText(placement, task.nodeId) : []),
    ...(slot ? slotText(slot, now) : []),
  ];
}

function volumeText({ name, target, state, error, leaving }: AwaitedVolume): string {
  const why = error ?? (leaving ? `it leaves node ${leaving} first` : undefined);
  return `  waits for volume ${name} (${target}): ${state}${why ? `: ${why}` : ''}`;
}

export function serviceText(explained: ServiceExplained, now: number): readonly string[] {
  const { service, running, slots, wanted, update, idle, pending } = explained;
  const settled = pending.length === 0 && idle.length === 0;
  const lines = [
    `${service.name}: ${running} of ${wanted ?? slots} running, spec version ${service.specVersion}`,
  ];
  if (update) lines.push(...updateText(update));
  for (const { tasks, example, placement } of pending) {
    const count = tasks === 1 ? '1 task waits' : `${tasks} tasks wait`;
    lines.push(`${count}: ${example.error ?? example.state}`);
    if (placement) lines.push(...placementText(placement, undefined));
  }
  for (const slot of idle) {
    if (slot.earlier.length === 0 && !slot.gaveUp && slot.waitsFor === undefined) continue;
    lines.push(`slot ${slot.slot} does not run (task ${shortId(slot.task)})`);
    lines.push(...slotText(slot, now));
  }
  if (explained.rebalance) lines.push(...rebalanceText(explained.rebalance, now));
  if (settled) lines.push('nothing keeps it from being as its spec says');
  return lines;
}

function rebalanceText({ state, until, moving }: Rebalance, now: number): readonly string[] {
  const texts = {
    balanced: 'no node could have clearly more of its tasks',
    rests: `looks for a better node for one of its tasks in ${duration((until ?? now) - now)}`,
    busy: 'waits for its tasks to stand before any of them is moved',
    move: 'is about to move a task',
  };
  if (moving.length === 0) return [`rebalance: ${texts[state]}`];
  return moving.map(({ slot, from, to }) => `rebalance: slot ${slot} moves from ${from} to ${to}`);
}

function updateText(update: NonNullable<ServiceExplained['update']>): readonly string[] {
  const { state, message, slotsTotal, slotsLeft, failures, failuresAllowed, waitsFor } = update;
  const tally = `${slotsTotal - Math.min(slotsLeft, slotsTotal)} of ${slotsTotal} slots replaced, ${failures} failed (more than ${failuresAllowed}: ${update.policy.failureAction})`;
  return [`${state}: ${message}; ${tally}`, ...waitsFor.map((what) => `  waits for ${what}`)];
}

export function placementText(placement: Placement, nodeId: string | undefined): readonly string[] {
  if (nodeId !== undefined) return rankingText(placement, nodeId);
  return [
    `  ${placement.nodesThatFit} of ${placement.nodesAsked} nodes fit`,
    ...placement.refusals.map(({ text, nodes }) => `    ${text}: ${names(nodes)}`),
    ...placement.suggestions.map(({ text, nodes }) => `  would help: ${text} (${names(nodes)})`),
  ];
}

/** As the nodes are now, without the task: why its node is a good place, or that others are better by now. */
function rankingText({ ranking, nodesThatFit }: Placement, nodeId: string): readonly string[] {
  const at = ranking.findIndex(({ id }) => id === nodeId);
  const place = at < 0 ? 'is not among the best by now' : `is choice ${at + 1} of ${nodesThatFit}`;
  return [
    `  its node ${place}:`,
    ...ranking.map((node) => `    ${node.id === nodeId ? '*' : ' '} ${rankedText(node)}`),
  ];
}

function rankedText(node: Placement['ranking'][number]): string {
  return [
    `${node.hostname}: ${node.tasksOfService} other tasks of the service`,
    `${node.tasks} in all`,
    ...node.spread.map(({ key, value }) => `${key}=${value}`),
    ...(node.fullness > 0 ? [`${Math.round(node.fullness * 100)} % reserved`] : []),
    ...(node.wishes > 0 ? [`meets ${node.wishes} preferences`] : []),
    ...(node.wishes < 0 ? ['to be avoided'] : []),
    ...(node.hasImage ? ['has the image'] : []),
    ...(node.faulty ? ['failed often lately'] : []),
    ...(node.quarantined ? ['in quarantine: several services fail there that run elsewhere'] : []),
  ].join(', ');
}

function slotText(slot: Slot, now: number): readonly string[] {
  const lines = slot.earlier.map(({ id, state, at, exitCode, error, replacedBecause }) => {
    const code = exitCode === undefined ? '' : `, exit code ${exitCode}`;
    const why = error ? `, ${error}` : '';
    return `  before: task ${shortId(id)} ${state} ${ago(at, now)}${code}${why}; replaced because: ${replacedBecause}`;
  });
  const { condition, maxAttempts } = slot.policy;
  const limit = maxAttempts === 0 ? 'no limit' : `at most ${maxAttempts}`;
  if (maxAttempts > 0) lines.push(`  restarts: ${slot.attempts} (${limit})`);
  if (slot.failures > 1)
    lines.push(`  ${slot.failures} failures in a row: the restart delay grows`);
  if (slot.gaveUp) lines.push(`  gave up: restart condition ${condition}, ${limit}`);
  if (slot.startAt !== undefined && slot.startAt > now) {
    lines.push(`  starts in ${duration(slot.startAt - now).toLowerCase()}`);
  }
  if (slot.waitsFor !== undefined) lines.push(`  waits for ${slot.waitsFor}`);
  return lines;
}

function names(nodes: readonly string[]): string {
  const shown = nodes.slice(0, NODES_SHOWN).join(', ');
  const more = nodes.length - NODES_SHOWN;
  return more > 0 ? `${shown} and ${more} more` : shown;
}
