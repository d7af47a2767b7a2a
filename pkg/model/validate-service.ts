import { validateNetworkLabels } from './network-labels.ts';
import { portsAsked } from './service.ts';
import { validatePolicyLabels } from './service-policy.ts';
import type { PortSpec, ServiceSpec, UpdateConfigSpec } from './service-spec.ts';
import { refuse } from './validate-refuse.ts';
import { validateTaskTemplate } from './validate-task-template.ts';

const SERVICE_NAME = /^[a-zA-Z0-9](?:[-_]*[A-Za-z0-9]+)*$/;
const SERVICE_NAME_MAX = 63;
const PORT_MAX = 65_535;
const FAILURE_ACTIONS: ReadonlySet<string> = new Set(['', 'pause', 'continue', 'rollback']);
const ORDERS: ReadonlySet<string> = new Set(['', 'stop-first', 'start-first']);
const PROTOCOLS: ReadonlySet<string> = new Set(['', 'tcp', 'udp', 'sctp']);
const PUBLISH_MODES: ReadonlySet<string> = new Set(['', 'ingress', 'host']);
const ENDPOINT_MODES: ReadonlySet<string> = new Set(['', 'vip', 'dnsrr']);

/**
 * Throws `ClusterError` ('invalid', 400) with Docker's text for a spec that cannot be run. What depends on other
 * objects (names in use, unknown networks and secrets, ports taken) is not looked at here.
 */
export function validateServiceSpec(spec: ServiceSpec): void {
  validateName(spec.Name ?? '');
  if (!spec.TaskTemplate) refuse('TaskSpec: missing runtime');
  validateTaskTemplate(spec.TaskTemplate);
  validateMode(spec);
  const job = Boolean(spec.Mode?.ReplicatedJob ?? spec.Mode?.GlobalJob);
  if (job && spec.UpdateConfig) refuse('Jobs may not have an update config');
  validateUpdate(spec.UpdateConfig);
  validateUpdate(spec.RollbackConfig);
  validateEndpoint(spec);
  validatePolicyLabels(spec);
  validateNetworkLabels(spec);
}

function validateName(name: string): void {
  if (name === '') refuse('meta: name must be provided');
  if (!SERVICE_NAME.test(name)) refuse('name must be valid as a DNS name component');
  if (name.length > SERVICE_NAME_MAX) refuse('name must be 63 characters or fewer');
}

function validateMode({ Mode: mode }: ServiceSpec): void {
  const chosen = [mode?.Replicated, mode?.Global, mode?.ReplicatedJob, mode?.GlobalJob];
  if (chosen.filter(Boolean).length > 1) refuse('must specify only one service mode');
  if (!isCount(mode?.Replicated?.Replicas)) refuse('Number of replicas must be non-negative');
  if (!isCount(mode?.ReplicatedJob?.MaxConcurrent)) {
    refuse('Maximum concurrent jobs must not be negative');
  }
  if (!isCount(mode?.ReplicatedJob?.TotalCompletions)) {
    refuse('Total completed jobs must not be negative');
  }
}

/** Absent, or a whole number that is not negative. */
function isCount(value: number | null | undefined): boolean {
  return value === undefined || value === null || (Number.isSafeInteger(value) && value >= 0);
}

function validateUpdate(update: UpdateConfigSpec | null | undefined): void {
  if (!update) return;
  if (!isCount(update.Parallelism)) refuse('TaskSpec: update-parallelism cannot be negative');
  if ((update.Delay ?? 0) < 0) refuse('TaskSpec: update-delay cannot be negative');
  if ((update.Monitor ?? 0) < 0) refuse('TaskSpec: update-monitor cannot be negative');
  const ratio = update.MaxFailureRatio ?? 0;
  if (!(ratio >= 0 && ratio <= 1)) {
    refuse('TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1');
  }
  if (!FAILURE_ACTIONS.has(update.FailureAction ?? '')) {
    refuse(`unrecognized update failure action ${update.FailureAction}`);
  }
  if (!ORDERS.has(update.Order ?? '')) refuse(`unrecognized update order ${update.Order}`);
}

function validateEndpoint(spec: ServiceSpec): void {
  const mode = spec.EndpointSpec?.Mode ?? '';
  if (!ENDPOINT_MODES.has(mode)) refuse(`EndpointSpec: invalid mode ${mode}`);
  for (const port of spec.EndpointSpec?.Ports ?? []) validatePortWords(port);
  const ports = portsAsked(spec);
  if (mode === 'dnsrr' && ports.some(({ publishMode }) => publishMode === 'ingress')) {
    refuse("EndpointSpec: port published with ingress mode can't be used with dnsrr mode");
  }
  for (const { targetPort, publishedPort } of ports) {
    if (!isPort(targetPort) || targetPort === 0) {
      refuse(`EndpointSpec: invalid target port ${targetPort}`);
    }
    if (!isPort(publishedPort)) refuse(`EndpointSpec: invalid published port ${publishedPort}`);
  }
  const published = ports
    .filter(({ publishedPort }) => publishedPort !== 0)
    .map(({ protocol, publishedPort }) => `${protocol}/${publishedPort}`);
  if (new Set(published).size < published.length) {
    refuse('EndpointSpec: duplicate published ports provided');
  }
}

function validatePortWords({ Protocol, PublishMode }: PortSpec): void {
  if (!PROTOCOLS.has(Protocol ?? '')) refuse(`EndpointSpec: invalid protocol ${Protocol}`);
  if (!PUBLISH_MODES.has(PublishMode ?? '')) {
    refuse(`EndpointSpec: invalid publish mode ${PublishMode}`);
  }
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= PORT_MAX;
}
