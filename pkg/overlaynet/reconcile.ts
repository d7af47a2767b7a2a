import { describeDifference } from './describe-difference.ts';
import type { Namespace, Operation } from './kernel/kernel.ts';
import { INGRESS_HUB_LINK } from './name.ts';
import { type DesiredNamespace, planNamespace } from './plan.ts';

/** Told about a container's port that the kernel refused. */
export type PortFailure = (error: unknown) => void;

/**
 * Makes the namespace as desired; returns how many operations that took. With `onPortFailure` a container that made its
 * own wiring impossible (it took the name of its interface, say) harms nobody else: everything but its port is done.
 */
export function reconcile(
  namespace: Namespace,
  desired: DesiredNamespace,
  onPortFailure?: PortFailure,
): number {
  const operations = planFor(namespace, desired);
  try {
    namespace.apply(operations);
  } catch (error) {
    if (onPortFailure === undefined) throw error;
    applyAroundPorts(namespace, desired, onPortFailure);
  }
  return operations.length;
}

/** What `reconcile` would do, one line for each operation. */
export function differences(namespace: Namespace, desired: DesiredNamespace): readonly string[] {
  return planFor(namespace, desired).map(describeDifference);
}

/** Entries are read only where they are ours: the kernel locks all network configuration of the machine for it. */
function planFor(namespace: Namespace, desired: DesiredNamespace): readonly Operation[] {
  return planNamespace(desired, namespace.observe(desired.ownsEntries ? 'all' : 'links'));
}

/** One operation at a time from what is there now; throws the first failure that is not about a container's port. */
function applyAroundPorts(
  namespace: Namespace,
  desired: DesiredNamespace,
  onPortFailure: PortFailure,
): void {
  const ports = new Set(
    desired.links.filter(({ kind }) => kind === 'veth').map((link): string => link.name),
  );
  // Without the host's own foot, the mesh is broken: that is no container's business.
  ports.delete(INGRESS_HUB_LINK);
  let failure: unknown;
  for (const operation of planFor(namespace, desired)) {
    try {
      namespace.apply([operation]);
    } catch (error) {
      if (ports.has(linkOf(operation))) onPortFailure(error);
      else failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
}

function linkOf(operation: Operation): string {
  if ('name' in operation) return operation.name;
  if ('link' in operation) return operation.link.name;
  return 'entry' in operation ? operation.entry.link : '';
}

/** Adds links and what hangs on them, strictly; static tables are not read and nothing is taken away. */
export function addLinks(namespace: Namespace, desired: DesiredNamespace): void {
  namespace.apply(planNamespace({ ...desired, prune: false }, namespace.observe('links')));
}

/** Sets what differs; keys that this kernel does not have are passed over. Returns the values before. */
export function ensureSysctls(
  namespace: Namespace,
  wanted: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const before: Record<string, string> = {};
  for (const [key, value] of Object.entries(wanted)) {
    const current = namespace.readSysctl(key);
    if (current === undefined || current === value) continue;
    before[key] = current;
    namespace.writeSysctl(key, value);
  }
  return before;
}
