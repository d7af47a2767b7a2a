import { NETWORK_LABEL_PREFIX } from './network-labels.ts';
import { type PlacementConstraint, parseExpression } from './placement-constraint.ts';
import { serviceMode } from './service.ts';
import type { ServiceSpec } from './service-spec.ts';
import { refuse } from './validate-refuse.ts';

/** Service labels with this prefix are wishes that the Engine API has no field for; an unknown one is an error. */
export const POLICY_PREFIX = 'muster.';

const FENCE = 'fence';
const REBALANCE = 'rebalance';
/** The only policy that running tasks have to know. */
export const FENCE_LABEL = `${POLICY_PREFIX}${FENCE}`;

export const PROGRESS_DEADLINE_DEFAULT_MS = 600_000;
export const DRAIN_DEADLINE_DEFAULT_MS = 600_000;
export const RESTART_DELAY_MAX_DEFAULT_MS = 60_000;

/** A soft wish about nodes: `node.labels.disk==ssd`, or `service==cache` for nodes where that service runs. */
export interface PlacementWish extends PlacementConstraint {
  readonly text: string;
}

/** What a service asks for with its `muster.…` labels, defaults filled in. */
export interface ServicePolicy {
  readonly strategy: 'spread' | 'binpack';
  readonly prefer: readonly PlacementWish[];
  readonly avoid: readonly PlacementWish[];
  /** 0-100. */
  readonly priority: number;
  /** May tasks of services of clearly lower priority be stopped to make room? */
  readonly preempt: boolean;
  /** Running tasks that no voluntary operation may go below: a number, or a share of the wanted ones. */
  readonly minAvailable: { readonly tasks: number } | { readonly percent: number };
  /** A drained node's tasks are stopped after this long even if their replacements do not run. */
  readonly drainDeadlineMs: number;
  /** An update in which nothing came up for this long ends; 0: never. */
  readonly progressDeadlineMs: number;
  /** Cap of the growing restart delay. */
  readonly restartMaxDelayMs: number;
  /** Its tasks move, one in so long, to nodes with clearly fewer of them; 0: where they are they stay. */
  readonly rebalanceMs: number;
  /** Its tasks are killed when their node has not been heard for so long, and not replaced before; 0: no fence. */
  readonly fenceMs: number;
}

/** One label: what may stand in it, in words and for the command line. */
export interface PolicyLabel {
  /** Without the prefix; also the name of ctl's flag. */
  readonly name: string;
  readonly value: string;
  readonly text: string;
  /** Throws `ClusterError` for a value that means nothing. */
  readonly read: (value: string, label: string) => Partial<ServicePolicy>;
}

export const POLICY_LABELS: readonly PolicyLabel[] = [
  {
    name: 'strategy',
    value: 'spread|binpack',
    text: 'spread tasks over nodes, or fill nodes one after the other',
    read: (value, label) => ({ strategy: oneOf(value, label, ['spread', 'binpack']) }),
  },
  {
    name: 'prefer',
    value: 'expressions',
    text: 'nodes to take first, node.labels.disk==ssd; service==cache',
    read: (value, label) => ({ prefer: wishes(value, label) }),
  },
  {
    name: 'avoid',
    value: 'expressions',
    text: 'nodes to take last, node.labels.old exists; service==batch',
    read: (value, label) => ({ avoid: wishes(value, label) }),
  },
  {
    name: 'priority',
    value: '0-100',
    text: 'who is placed first when there is little room',
    read: (value, label) => ({ priority: wholeNumber(value, label, 100) }),
  },
  {
    name: 'preempt',
    value: 'true|false',
    text: 'stop tasks of a priority lower by 10 or more to make room',
    read: (value, label) => ({ preempt: oneOf(value, label, ['true', 'false']) === 'true' }),
  },
  {
    name: 'min-available',
    value: 'count|percent',
    text: 'running tasks that drain, update and preemption leave, 2 or 50%',
    read: (value, label) => ({ minAvailable: amount(value, label) }),
  },
  {
    name: 'drain-deadline',
    value: 'duration',
    text: 'tasks on a drained node are stopped after this long in any case',
    read: (value, label) => ({ drainDeadlineMs: milliseconds(value, label) }),
  },
  {
    name: 'progress-deadline',
    value: 'duration',
    text: 'an update in which nothing comes up for so long ends, 0: never',
    read: (value, label) => ({ progressDeadlineMs: milliseconds(value, label) }),
  },
  {
    name: 'restart-max-delay',
    value: 'duration',
    text: 'the restart delay doubles with each failure up to this',
    read: (value, label) => ({ restartMaxDelayMs: milliseconds(value, label) }),
  },
  {
    name: REBALANCE,
    value: 'duration',
    text: 'tasks move to nodes that came later, one in so long, 0: never',
    read: (value, label) => ({ rebalanceMs: between(value, label, '1s', '1h') }),
  },
  {
    name: FENCE,
    value: 'duration',
    text: 'never two copies of a slot: tasks on a node that is cut off for so long are killed there, and replaced after that',
    read: (value, label) => ({ fenceMs: between(value, label, '3s', '1h') }),
  },
];

const LABELS: ReadonlyMap<string, PolicyLabel> = new Map(
  POLICY_LABELS.map((label) => [label.name, label]),
);

const DEFAULTS: ServicePolicy = {
  strategy: 'spread',
  prefer: [],
  avoid: [],
  priority: 0,
  preempt: false,
  minAvailable: { tasks: 0 },
  drainDeadlineMs: DRAIN_DEADLINE_DEFAULT_MS,
  progressDeadlineMs: PROGRESS_DEADLINE_DEFAULT_MS,
  restartMaxDelayMs: RESTART_DELAY_MAX_DEFAULT_MS,
  rebalanceMs: 0,
  fenceMs: 0,
};

/** Throws `ClusterError` (400) for a label with the reserved prefix that is unknown or holds nonsense. */
export function validatePolicyLabels(spec: ServiceSpec): void {
  const { fenceMs, minAvailable, rebalanceMs, strategy } = readPolicy(spec);
  if (rebalanceMs > 0) validateRebalance(spec, { fenced: fenceMs > 0, strategy });
  if (fenceMs === 0) return;
  const orders = [spec.UpdateConfig?.Order, spec.RollbackConfig?.Order];
  const needed = 'tasks' in minAvailable ? minAvailable.tasks : minAvailable.percent;
  if (orders.includes('start-first') || needed > 0) {
    refuse(`label ${FENCE_LABEL}: start-first and min-available would run two copies of a slot`);
  }
}

/** A task moves by running twice for a moment, and leaves what its node keeps for it behind. */
function validateRebalance(
  spec: ServiceSpec,
  { fenced, strategy }: { readonly fenced: boolean; readonly strategy: string },
): void {
  const label = `label ${POLICY_PREFIX}${REBALANCE}`;
  const volumes = spec.TaskTemplate?.ContainerSpec?.Mounts ?? [];
  if (serviceMode(spec).kind !== 'replicated')
    refuse(`${label}: only replicated services have a choice of nodes`);
  if (strategy === 'binpack') refuse(`${label}: binpack wants its nodes full`);
  if (fenced) refuse(`${label}: a task that moves has two copies, which ${FENCE_LABEL} excludes`);
  if (volumes.some(({ Type, Source }) => (Type === 'volume' && Source) || Type === 'cluster')) {
    refuse(`${label}: the tasks stay where their volumes are`);
  }
}

/** The policy of a spec that was accepted. A label that this version cannot read counts as absent. */
export function servicePolicy(spec: ServiceSpec): ServicePolicy {
  try {
    return readPolicy(spec);
  } catch {
    return DEFAULTS;
  }
}

/** How many running tasks must be left of `wanted`. */
export function minAvailableOf({ minAvailable }: ServicePolicy, wanted: number): number {
  if ('tasks' in minAvailable) return minAvailable.tasks;
  return Math.ceil((wanted * minAvailable.percent) / 100);
}

function readPolicy({ Labels: labels }: ServiceSpec): ServicePolicy {
  let policy = DEFAULTS;
  for (const [key, value] of Object.entries(labels ?? {})) {
    if (!key.startsWith(POLICY_PREFIX) || key.startsWith(NETWORK_LABEL_PREFIX)) continue;
    const known = LABELS.get(key.slice(POLICY_PREFIX.length));
    if (!known) refuse(unknownLabel(key));
    policy = { ...policy, ...known.read(value, key) };
  }
  return policy;
}

function unknownLabel(key: string): string {
  const names = POLICY_LABELS.map(({ name }) => name);
  return `label ${key} is not known: labels that begin with ${POLICY_PREFIX} are ${names.join(', ')}`;
}

function oneOf<const T extends string>(value: string, label: string, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === value);
  return found ?? refuse(`label ${label}: "${value}" is not one of ${allowed.join(', ')}`);
}

function wholeNumber(value: string, label: string, max: number): number {
  const number = Number(value);
  if (/^\d+$/.test(value) && number <= max) return number;
  return refuse(`label ${label}: "${value}" is not a whole number from 0 to ${max}`);
}

function amount(value: string, label: string): ServicePolicy['minAvailable'] {
  if (value.endsWith('%')) return { percent: wholeNumber(value.slice(0, -1), label, 100) };
  return { tasks: wholeNumber(value, label, Number.MAX_SAFE_INTEGER) };
}

function between(value: string, label: string, least: string, most: string): number {
  const ms = milliseconds(value, label);
  if (ms === 0 || (ms >= milliseconds(least, label) && ms <= milliseconds(most, label))) return ms;
  return refuse(`label ${label}: "${value}" is not 0 and not between ${least} and ${most}`);
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

function milliseconds(value: string, label: string): number {
  if (value === '0') return 0;
  const parts = [...value.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== value) {
    refuse(`label ${label}: "${value}" is not a duration such as 500ms, 10s or 1m30s`);
  }
  const sum = parts.reduce(
    (total, [, number, unit]) => total + Number(number) * (UNITS_MS[unit ?? ''] ?? 0),
    0,
  );
  return Math.round(sum);
}

function wishes(value: string, label: string): readonly PlacementWish[] {
  const texts = value.split(';').map((text) => text.trim());
  return texts
    .filter((text) => text !== '')
    .map((text) => {
      const parsed = parseExpression(text);
      if ('error' in parsed) return refuse(`label ${label}: ${parsed.error} in "${text}"`);
      if (parsed.key.toLowerCase() === 'service' && parsed.operator !== '==') {
        return refuse(`label ${label}: say service==NAME, not "${text}"`);
      }
      return { ...parsed, text };
    });
}
