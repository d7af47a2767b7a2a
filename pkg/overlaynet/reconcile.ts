import type { Namespace } from './kernel/kernel.ts';
import { type DesiredNamespace, planNamespace } from './plan.ts';

/** Makes the namespace as desired; returns how many operations that took. */
export function reconcile(namespace: Namespace, desired: DesiredNamespace): number {
  const operations = planNamespace(desired, namespace.observe());
  namespace.apply(operations);
  return operations.length;
}

/** The same for links, addresses, routes and rules alone: static tables are neither read nor pruned. */
export function reconcileLinks(namespace: Namespace, desired: DesiredNamespace): number {
  const operations = planNamespace(desired, namespace.observe('links'));
  namespace.apply(operations);
  return operations.length;
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
