import {
  POLICY_PREFIX,
  type PortSpec,
  type ServiceSpec,
  type TaskTemplateSpec,
  type UpdateConfigSpec,
} from '../model/index.ts';
import { asList, asMap, asText, isMap, stackProblem, type YamlMap } from './problem.ts';
import { compact } from './scope.ts';
import { durationNanos, nanoCpus, sizeBytes, wholeNumber } from './units.ts';

type Mode = NonNullable<ServiceSpec['Mode']>;

/** `deploy.mode` and `deploy.replicas`. */
export function convertMode(deploy: YamlMap): Mode {
  const mode = asText(deploy['mode']) || 'replicated';
  const replicas =
    deploy['replicas'] === undefined
      ? undefined
      : wholeNumber(deploy['replicas'], 'deploy.replicas');
  switch (mode) {
    case 'global':
    case 'global-job':
      if (replicas !== undefined)
        throw stackProblem('replicas can only be used with replicated or replicated-job mode');
      return mode === 'global' ? { Global: {} } : { GlobalJob: {} };
    case 'replicated':
      return { Replicated: compact({ Replicas: replicas }) };
    case 'replicated-job':
      return { ReplicatedJob: compact({ MaxConcurrent: replicas, TotalCompletions: replicas }) };
    default:
      throw stackProblem(`Unknown mode: ${mode}`);
  }
}

export function convertUpdate(value: unknown, key: string): UpdateConfigSpec | undefined {
  if (!isMap(value)) return undefined;
  const duration = (name: string): number | undefined =>
    value[name] === undefined
      ? undefined
      : durationNanos(value[name], `${key}.${name}`) || undefined;
  return compact({
    Parallelism:
      value['parallelism'] === undefined
        ? 1
        : wholeNumber(value['parallelism'], `${key}.parallelism`),
    Delay: duration('delay'),
    FailureAction: asText(value['failure_action']) || undefined,
    Monitor: duration('monitor'),
    MaxFailureRatio: Number(value['max_failure_ratio'] ?? 0),
    Order: asText(value['order']),
  });
}

/** `deploy.restart_policy`, or the older `restart:`. */
export function convertRestart(
  service: YamlMap,
  deploy: YamlMap,
): TaskTemplateSpec['RestartPolicy'] {
  const policy = deploy['restart_policy'];
  if (isMap(policy)) {
    const duration = (name: string): number | undefined =>
      policy[name] === undefined
        ? undefined
        : durationNanos(policy[name], `restart_policy.${name}`);
    return compact({
      Condition: asText(policy['condition']) || undefined,
      Delay: duration('delay'),
      MaxAttempts:
        policy['max_attempts'] === undefined
          ? undefined
          : wholeNumber(policy['max_attempts'], 'restart_policy.max_attempts'),
      Window: duration('window'),
    });
  }
  const [name = '', attempts] = asText(service['restart']).split(':');
  if (name === '') return undefined;
  if (name === 'no') return { Condition: 'none' };
  if (name === 'always' || name === 'unless-stopped') return { Condition: 'any' };
  if (name === 'on-failure')
    return compact({
      Condition: 'on-failure',
      MaxAttempts: attempts === undefined ? undefined : wholeNumber(attempts, 'restart'),
    });
  throw stackProblem(`unknown restart policy: ${name}`);
}

export function convertResources(deploy: YamlMap): NonNullable<TaskTemplateSpec['Resources']> {
  const resources = asMap(deploy['resources']);
  return compact({
    Limits: convertAmounts(resources['limits'], 'limits'),
    Reservations: convertAmounts(resources['reservations'], 'reservations'),
  });
}

type Amounts = NonNullable<NonNullable<TaskTemplateSpec['Resources']>['Limits']>;

function convertAmounts(value: unknown, key: string): Amounts | undefined {
  if (!isMap(value)) return undefined;
  const counted = asList(value['generic_resources']).map((entry) => {
    const discrete = asMap(asMap(entry)['discrete_resource_spec']);
    return {
      DiscreteResourceSpec: {
        Kind: asText(discrete['kind']),
        Value: wholeNumber(discrete['value'], 'generic_resources.value'),
      },
    };
  });
  const generic = [...counted, ...asList(value['devices']).map(convertDeviceRequest)];
  return compact({
    NanoCPUs: value['cpus'] === undefined ? undefined : nanoCpus(value['cpus'], `${key}.cpus`),
    MemoryBytes:
      value['memory'] === undefined ? undefined : sizeBytes(value['memory'], `${key}.memory`),
    Pids: value['pids'] === undefined ? undefined : wholeNumber(value['pids'], `${key}.pids`),
    GenericResources: generic.length > 0 ? generic : undefined,
  });
}

const DEVICES = 'deploy.resources.reservations.devices';

/** Compose's request for devices is a generic resource of the kind that it calls a capability. */
function convertDeviceRequest(entry: unknown): object {
  const request = asMap(entry);
  const capabilities = asList(request['capabilities']).map(asText);
  const [kind = ''] = capabilities;
  if (capabilities.length !== 1)
    throw stackProblem(`${DEVICES}.capabilities: name one kind that nodes offer, such as [gpu]`);
  if (request['device_ids'] !== undefined)
    throw stackProblem(`${DEVICES}.device_ids: a node is not known yet; say how many: count`);
  for (const key of ['driver', 'options'])
    if (request[key] !== undefined)
      throw stackProblem(
        `${DEVICES}.${key}: there are no device drivers; nodes offer device files with --device ${kind}=/dev/…`,
      );
  const { count } = request;
  if (count === undefined || count === 'all')
    throw stackProblem(`${DEVICES}.count: say a number; "all" of a node cannot be reserved`);
  return {
    DiscreteResourceSpec: { Kind: kind, Value: wholeNumber(count, `${DEVICES}.count`) },
  };
}

export function convertPlacement(deploy: YamlMap): NonNullable<TaskTemplateSpec['Placement']> {
  const placement = asMap(deploy['placement']);
  const constraints = asList(placement['constraints']).map(asText);
  const preferences = asList(placement['preferences']).map((entry) => ({
    Spread: { SpreadDescriptor: asText(asMap(entry)['spread']) },
  }));
  const max = placement['max_replicas_per_node'];
  return compact({
    Constraints: constraints.length > 0 ? constraints : undefined,
    Preferences: preferences.length > 0 ? preferences : undefined,
    MaxReplicas:
      max === undefined
        ? undefined
        : wholeNumber(max, 'placement.max_replicas_per_node') || undefined,
  });
}

/** `x-muster: {priority: 80}` is the label `muster.priority=80`; a list is its items between semicolons. */
export function convertPolicy(service: YamlMap): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(asMap(service['x-muster'])).map(([name, value]) => [
      `${POLICY_PREFIX}${name}`,
      asList(value).map(asText).join('; '),
    ]),
  );
}

export function convertEndpoint(
  deploy: YamlMap,
  ports: readonly PortSpec[],
): NonNullable<ServiceSpec['EndpointSpec']> {
  return compact({
    Mode: asText(deploy['endpoint_mode']).toLowerCase() || undefined,
    Ports: ports.length > 0 ? ports : undefined,
  });
}
