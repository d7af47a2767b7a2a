import { validateGenericReservations } from './generic-resource.ts';
import { parseConstraint } from './placement-constraint.ts';
import type {
  ContainerSpec,
  FileTargetSpec,
  HealthSpec,
  MountSpec,
  ResourceSpec,
  TaskTemplateSpec,
} from './service-spec.ts';
import { refuse } from './validate-refuse.ts';

const CPU_MIN_NANOS = 1e6;
const MEMORY_MIN_BYTES = 4 * 1024 * 1024;
const HEALTH_DURATION_MIN_NANOS = 1e6;
const MOUNT_TYPES: ReadonlySet<string> = new Set([
  'bind',
  'volume',
  'tmpfs',
  'npipe',
  'cluster',
  'image',
]);
const RESTART_CONDITIONS: ReadonlySet<string> = new Set(['', 'none', 'on-failure', 'any']);
/** `[host[:port]/]path[:tag][@digest]` (distribution's reference grammar, without its length limits per part). */
const IMAGE =
  /^(?:[a-zA-Z0-9.-]+(?::\d+)?\/|\[[0-9a-fA-F:]+\](?::\d+)?\/)?[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*(?::\w[\w.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,})?$/;

/** Throws `ClusterError` for a task template that no task could be made from. */
export function validateTaskTemplate(template: TaskTemplateSpec): void {
  validateResources(template.Resources?.Limits);
  validateResources(template.Resources?.Reservations);
  validateGenericReservations(template.Resources?.Reservations?.GenericResources ?? []);
  validateRestartPolicy(template.RestartPolicy);
  for (const text of template.Placement?.Constraints ?? []) {
    const constraint = parseConstraint(text);
    if ('error' in constraint) refuse(constraint.error);
  }
  if ((template.Placement?.MaxReplicas ?? 0) < 0) {
    refuse('TaskSpec: max-replicas-per-node cannot be negative');
  }
  if (template.Runtime && template.Runtime !== 'container') {
    refuse('RuntimeSpec: unimplemented runtime in service spec');
  }
  if (!template.ContainerSpec) refuse('ContainerSpec: missing in service spec');
  validateContainer(template.ContainerSpec);
}

function validateContainer(container: ContainerSpec): void {
  if (!container.Image) refuse('ContainerSpec: image reference must be provided');
  if (!IMAGE.test(container.Image)) {
    refuse(`ContainerSpec: "${container.Image}" is not a valid repository/tag`);
  }
  validateMounts(container.Mounts ?? []);
  if (container.Healthcheck) validateHealth(container.Healthcheck);
  validateReferences(
    'secret',
    (container.Secrets ?? []).map((reference) => ({
      id: reference.SecretID,
      name: reference.SecretName,
      file: reference.File,
      fileless: false,
    })),
  );
  validateReferences(
    'config',
    (container.Configs ?? []).map((reference) => ({
      id: reference.ConfigID,
      name: reference.ConfigName,
      file: reference.File,
      fileless: Boolean(reference.Runtime),
    })),
  );
  if ((container.StopGracePeriod ?? 0) < 0) {
    refuse('ContainerSpec: stop-grace-period cannot be negative');
  }
}

function validateMounts(mounts: readonly MountSpec[]): void {
  const targets = new Set<string>();
  for (const mount of mounts) {
    const target = mount.Target ?? '';
    if (!target.startsWith('/')) {
      refuse(`invalid mount target, must be an absolute path: ${target}`);
    }
    validateMountSource(mount.Type ?? '', mount.Source ?? '');
    if (targets.has(target)) refuse(`ContainerSpec: duplicate mount point: ${target}`);
    targets.add(target);
  }
}

function validateMountSource(type: string, source: string): void {
  if (!MOUNT_TYPES.has(type)) refuse(`invalid mount type: ${type}`);
  if (type === 'bind' && !source.startsWith('/')) {
    refuse(`invalid bind mount source, must be an absolute path: ${source}`);
  }
  if (type === 'volume' && source.startsWith('/')) {
    refuse(`invalid volume mount source, must not be an absolute path: ${source}`);
  }
  if (type === 'cluster' && (source === '' || source === 'group:')) {
    refuse('invalid cluster mount source, must name a cluster volume or group:GROUP');
  }
  if (type === 'tmpfs' && source !== '') refuse('invalid tmpfs source, source must be empty');
}

function validateHealth(health: HealthSpec): void {
  const durations = [
    ['Interval', health.Interval],
    ['Timeout', health.Timeout],
    ['StartPeriod', health.StartPeriod],
  ] as const;
  for (const [name, nanos] of durations) {
    if (nanos && nanos < HEALTH_DURATION_MIN_NANOS) {
      refuse(`ContainerSpec: ${name} in HealthConfig cannot be less than 1ms`);
    }
  }
  if ((health.Retries ?? 0) < 0) {
    refuse('ContainerSpec: Retries in HealthConfig cannot be negative');
  }
}

interface Reference {
  readonly id: string;
  readonly name: string;
  readonly file: FileTargetSpec | null | undefined;
  /** Used by the runtime itself: no file, and none asked for. */
  readonly fileless: boolean;
}

function validateReferences(kind: 'secret' | 'config', references: readonly Reference[]): void {
  const targets = new Map<string, string>();
  for (const { id, name, file, fileless } of references) {
    if (!id || !name) refuse(`malformed ${kind} reference`);
    if (fileless) continue;
    if (!file) refuse(`malformed ${kind} reference, no target provided`);
    if (!file.Name) refuse(`malformed file ${kind} reference, invalid target file name provided`);
    const holder = targets.get(file.Name);
    if (holder !== undefined) {
      refuse(
        `${kind} references '${holder}' and '${name}' have a conflicting target: '${file.Name}'`,
      );
    }
    targets.set(file.Name, name);
  }
}

function validateResources(resources: ResourceSpec | null | undefined): void {
  const cpu = resources?.NanoCPUs ?? 0;
  const memory = resources?.MemoryBytes ?? 0;
  if (cpu !== 0 && cpu < CPU_MIN_NANOS) {
    refuse(`invalid cpu value ${cpu / 1e9}: Must be at least 0.001`);
  }
  if (memory !== 0 && memory < MEMORY_MIN_BYTES) {
    refuse(`invalid memory value ${memory}: Must be at least 4MiB`);
  }
}

function validateRestartPolicy(policy: TaskTemplateSpec['RestartPolicy']): void {
  if (!RESTART_CONDITIONS.has(policy?.Condition ?? '')) {
    refuse(`invalid RestartCondition: "${policy?.Condition}"`);
  }
  if ((policy?.Delay ?? 0) < 0) refuse('TaskSpec: restart-delay cannot be negative');
  if ((policy?.Window ?? 0) < 0) refuse('TaskSpec: restart-window cannot be negative');
  if ((policy?.MaxAttempts ?? 0) < 0) refuse('TaskSpec: restart-max-attempts cannot be negative');
}
