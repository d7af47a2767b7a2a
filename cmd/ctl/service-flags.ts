import { readFileSync } from 'node:fs';
import { POLICY_LABELS, POLICY_PREFIX, type ServiceSpec } from '../../pkg/model/index.ts';
import { Failure } from './failure.ts';
import { parseBytes, parseCount, parseCpus, parseDuration, parsePair } from './units.ts';

/** A spec under construction. */
export type Draft<T> = T extends readonly (infer Item)[]
  ? Draft<Item>[]
  : T extends object
    ? { -readonly [Key in keyof T]: Draft<T[Key]> }
    : T;
export type SpecDraft = Draft<ServiceSpec>;

export interface Flag {
  /** As commander takes it: `-e, --env <key=value>`. */
  readonly flags: string;
  readonly text: string;
  readonly apply: (spec: SpecDraft, value: string, name: string) => void;
}

type Part<T> = Draft<NonNullable<T>>;

export function container(
  spec: SpecDraft,
): Part<NonNullable<ServiceSpec['TaskTemplate']>['ContainerSpec']> {
  const template = task(spec);
  template.ContainerSpec ??= { Image: '' };
  return template.ContainerSpec;
}

export function task(spec: SpecDraft): Part<ServiceSpec['TaskTemplate']> {
  spec.TaskTemplate ??= {};
  return spec.TaskTemplate;
}

export function endpoint(spec: SpecDraft): Part<ServiceSpec['EndpointSpec']> {
  spec.EndpointSpec ??= {};
  return spec.EndpointSpec;
}

export function placement(
  spec: SpecDraft,
): Part<NonNullable<ServiceSpec['TaskTemplate']>['Placement']> {
  const template = task(spec);
  template.Placement ??= {};
  return template.Placement;
}

type Resources = Part<NonNullable<ServiceSpec['TaskTemplate']>['Resources']>;

function resources(spec: SpecDraft, kind: 'Limits' | 'Reservations'): Part<Resources['Limits']> {
  const template = task(spec);
  template.Resources ??= {};
  const group = template.Resources[kind] ?? {};
  template.Resources[kind] = group;
  return group;
}

/** `gpu=2`; takes the place of what was reserved of that kind. */
export function reserveGeneric(spec: SpecDraft, pair: string): void {
  const [kind, value] = parsePair(pair);
  const amount = parseCount(value, 'generic-resource');
  releaseGeneric(spec, kind);
  const group = resources(spec, 'Reservations');
  const one = { DiscreteResourceSpec: { Kind: kind, Value: amount } };
  group.GenericResources = [...(group.GenericResources ?? []), one];
}

/** Reserve no more of the kind. */
export function releaseGeneric(spec: SpecDraft, kind: string): void {
  const group = resources(spec, 'Reservations');
  group.GenericResources = (group.GenericResources ?? []).filter(
    (entry) =>
      (entry as { DiscreteResourceSpec?: { Kind?: string } }).DiscreteResourceSpec?.Kind !== kind,
  );
}

function restart(spec: SpecDraft): Part<NonNullable<ServiceSpec['TaskTemplate']>['RestartPolicy']> {
  const template = task(spec);
  template.RestartPolicy ??= {};
  return template.RestartPolicy;
}

function health(
  spec: SpecDraft,
): Part<NonNullable<NonNullable<ServiceSpec['TaskTemplate']>['ContainerSpec']>['Healthcheck']> {
  const part = container(spec);
  part.Healthcheck ??= {};
  return part.Healthcheck;
}

/** One value each, the same in `create` and `update`. */
export const SCALAR_FLAGS: readonly Flag[] = [
  {
    flags: '--replicas <count>',
    text: 'number of tasks',
    apply: (spec, value, name) => setReplicas(spec, parseCount(value, name)),
  },
  {
    flags: '--hostname <name>',
    text: 'host name of the containers',
    apply: (spec, value): void => {
      container(spec).Hostname = value;
    },
  },
  {
    flags: '-u, --user <user>',
    text: 'user name or id',
    apply: (spec, value): void => {
      container(spec).User = value;
    },
  },
  {
    flags: '-w, --workdir <folder>',
    text: 'working directory in the container',
    apply: (spec, value): void => {
      container(spec).Dir = value;
    },
  },
  {
    flags: '--entrypoint <command>',
    text: 'replaces the entrypoint of the image',
    apply: (spec, value): void => {
      container(spec).Command = splitWords(value);
    },
  },
  {
    flags: '--stop-signal <signal>',
    text: 'signal that asks a task to stop',
    apply: (spec, value): void => {
      container(spec).StopSignal = value;
    },
  },
  {
    flags: '--stop-grace-period <duration>',
    text: 'time between the stop signal and the kill',
    apply: (spec, value, name): void => {
      container(spec).StopGracePeriod = parseDuration(value, name);
    },
  },
  {
    flags: '--limit-cpu <cpus>',
    text: 'most CPUs a task may use',
    apply: (spec, value, name): void => {
      resources(spec, 'Limits').NanoCPUs = parseCpus(value, name);
    },
  },
  {
    flags: '--limit-memory <bytes>',
    text: 'most memory a task may use',
    apply: (spec, value, name): void => {
      resources(spec, 'Limits').MemoryBytes = parseBytes(value, name);
    },
  },
  {
    flags: '--limit-pids <count>',
    text: 'most processes of a task, 0: no limit',
    apply: (spec, value, name): void => {
      resources(spec, 'Limits').Pids = parseCount(value, name);
    },
  },
  {
    flags: '--reserve-cpu <cpus>',
    text: 'CPUs that a node must have free',
    apply: (spec, value, name): void => {
      resources(spec, 'Reservations').NanoCPUs = parseCpus(value, name);
    },
  },
  {
    flags: '--reserve-memory <bytes>',
    text: 'memory that a node must have free',
    apply: (spec, value, name): void => {
      resources(spec, 'Reservations').MemoryBytes = parseBytes(value, name);
    },
  },
  {
    flags: '--restart-condition <when>',
    text: 'none, on-failure or any',
    apply: (spec, value, name): void => {
      restart(spec).Condition = oneOf(value, name, ['none', 'on-failure', 'any']);
    },
  },
  {
    flags: '--restart-delay <duration>',
    text: 'time before a task is replaced',
    apply: (spec, value, name): void => {
      restart(spec).Delay = parseDuration(value, name);
    },
  },
  {
    flags: '--restart-max-attempts <count>',
    text: 'replacements before giving up',
    apply: (spec, value, name): void => {
      restart(spec).MaxAttempts = parseCount(value, name);
    },
  },
  {
    flags: '--restart-window <duration>',
    text: 'time over which attempts are counted',
    apply: (spec, value, name): void => {
      restart(spec).Window = parseDuration(value, name);
    },
  },
  {
    flags: '--replicas-max-per-node <count>',
    text: 'most tasks of the service on one node',
    apply: (spec, value, name): void => {
      placement(spec).MaxReplicas = parseCount(value, name);
    },
  },
  {
    flags: '--endpoint-mode <mode>',
    text: 'vip or dnsrr',
    apply: (spec, value, name): void => {
      endpoint(spec).Mode = oneOf(value, name, ['vip', 'dnsrr']);
    },
  },
  {
    flags: '--health-cmd <command>',
    text: 'command that tells whether a task is healthy',
    apply: (spec, value): void => {
      health(spec).Test = ['CMD-SHELL', value];
    },
  },
  {
    flags: '--health-interval <duration>',
    text: 'time between checks',
    apply: (spec, value, name): void => {
      health(spec).Interval = parseDuration(value, name);
    },
  },
  {
    flags: '--health-timeout <duration>',
    text: 'longest time of one check',
    apply: (spec, value, name): void => {
      health(spec).Timeout = parseDuration(value, name);
    },
  },
  {
    flags: '--health-retries <count>',
    text: 'failures in a row that make a task unhealthy',
    apply: (spec, value, name): void => {
      health(spec).Retries = parseCount(value, name);
    },
  },
  {
    flags: '--health-start-period <duration>',
    text: 'time in which failures do not count',
    apply: (spec, value, name): void => {
      health(spec).StartPeriod = parseDuration(value, name);
    },
  },
  {
    flags: '--health-start-interval <duration>',
    text: 'time between checks within the start period',
    apply: (spec, value, name): void => {
      health(spec).StartInterval = parseDuration(value, name);
    },
  },
  ...POLICY_LABELS.map(policyFlag),
  ...updateFlags('update', 'UpdateConfig'),
  ...updateFlags('rollback', 'RollbackConfig'),
];

/** Present or absent. */
export const SWITCH_FLAGS: readonly Flag[] = [
  {
    flags: '--read-only',
    text: "mount the container's root file system read-only",
    apply: (spec) => {
      container(spec).ReadOnly = true;
    },
  },
  {
    flags: '--init',
    text: 'run a small init that reaps children in the container',
    apply: (spec) => {
      container(spec).Init = true;
    },
  },
  {
    flags: '-t, --tty',
    text: 'give the task a terminal',
    apply: (spec) => {
      container(spec).TTY = true;
    },
  },
  {
    flags: '--no-healthcheck',
    text: 'ignore the health check of the image',
    apply: (spec) => {
      health(spec).Test = ['NONE'];
    },
  },
];

/** `--priority 80` is the label `muster.priority=80`. */
function policyFlag({ name, value, text }: (typeof POLICY_LABELS)[number]): Flag {
  return {
    flags: `--${name} <${value}>`,
    text,
    apply: (spec, given): void => {
      spec.Labels = { ...spec.Labels, [`${POLICY_PREFIX}${name}`]: given };
    },
  };
}

function updateFlags(prefix: string, key: 'UpdateConfig' | 'RollbackConfig'): readonly Flag[] {
  const policy = (spec: SpecDraft): Part<ServiceSpec['UpdateConfig']> => {
    const part = spec[key] ?? { Parallelism: 1 };
    spec[key] = part;
    return part;
  };
  const one = prefix === 'update' ? 'an update' : 'a rollback';
  const actions = prefix === 'update' ? ['pause', 'continue', 'rollback'] : ['pause', 'continue'];
  const flags: readonly Flag[] = [
    {
      flags: `--${prefix}-parallelism <count>`,
      text: `tasks replaced at once in ${one}, 0: all`,
      apply: (spec, value, name): void => {
        policy(spec).Parallelism = parseCount(value, name);
      },
    },
    {
      flags: `--${prefix}-delay <duration>`,
      text: `time between the steps of ${one}`,
      apply: (spec, value, name): void => {
        policy(spec).Delay = parseDuration(value, name);
      },
    },
    {
      flags: `--${prefix}-monitor <duration>`,
      text: `time after which a replaced task counts as good in ${one}`,
      apply: (spec, value, name): void => {
        policy(spec).Monitor = parseDuration(value, name);
      },
    },
    {
      flags: `--${prefix}-max-failure-ratio <ratio>`,
      text: `share of failed tasks that ${one} tolerates`,
      apply: (spec, value): void => {
        policy(spec).MaxFailureRatio = Number(value);
      },
    },
    {
      flags: `--${prefix}-failure-action <action>`,
      text: `what a failed ${prefix} does: ${actions.join(', ')}`,
      apply: (spec, value, name): void => {
        policy(spec).FailureAction = oneOf(value, name, actions);
      },
    },
    {
      flags: `--${prefix}-order <order>`,
      text: `stop-first or start-first in ${one}`,
      apply: (spec, value, name): void => {
        policy(spec).Order = oneOf(value, name, ['stop-first', 'start-first']);
      },
    },
  ];
  return flags;
}

function setReplicas(spec: SpecDraft, replicas: number): void {
  if (spec.Mode?.Global || spec.Mode?.GlobalJob)
    throw new Failure('replicas can only be used with replicated or replicated-job mode');
  if (spec.Mode?.ReplicatedJob) spec.Mode.ReplicatedJob.TotalCompletions = replicas;
  else spec.Mode = { Replicated: { Replicas: replicas } };
}

export function oneOf(value: string, name: string, allowed: readonly string[]): string {
  if (allowed.includes(value)) return value;
  throw new Failure(`invalid argument "${value}" for --${name}: say ${allowed.join(', ')}`);
}

/** Words as a shell would see them, quotes honoured. */
export function splitWords(text: string): string[] {
  const words = text.match(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g) ?? [];
  return words.map((word) =>
    word.replace(/"([^"]*)"|'([^']*)'/g, (_, double, single) => double ?? single),
  );
}

/** `-e KEY` takes the value from ctl's own environment, as docker does. */
export function environmentEntry(
  text: string,
  variables: Readonly<Record<string, string | undefined>>,
): string {
  if (text.includes('=')) return text;
  const value = variables[text];
  return value === undefined ? text : `${text}=${value}`;
}

export function readEnvironmentFile(
  path: string,
  variables: Readonly<Record<string, string | undefined>>,
): string[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new Failure(`cannot read the env file ${path}: ${String(cause)}`, { cause });
  }
  const lines = text.split('\n').map((line) => line.trimStart());
  return lines
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => environmentEntry(line, variables));
}

export function toMap(pairs: readonly string[] | undefined): Record<string, string> {
  return Object.fromEntries((pairs ?? []).map(parsePair));
}
