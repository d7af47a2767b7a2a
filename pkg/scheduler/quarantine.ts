import type { NodeId, ServiceId } from '../model/index.ts';
import type { NodeLoad } from './node-load.ts';

const FAILURES_MIN = 5;
const FAILURES_OF_SERVICE_MIN = 2;
const SERVICES_MIN = 2;

/**
 * Nodes where tasks of several services failed lately that stand elsewhere: the fault is the node's. They are the last
 * choice for everything until the failures are five minutes old.
 */
export function badNodes(loads: ReadonlyMap<NodeId, NodeLoad>): ReadonlySet<NodeId> {
  const bad = new Set<NodeId>();
  for (const [id, load] of loads) {
    if (load.failuresOfService.size < SERVICES_MIN) continue;
    const against = [...load.failuresOfService].filter(
      ([service, failures]) =>
        failures >= FAILURES_OF_SERVICE_MIN && standsElsewhere(loads, load, service),
    );
    const failures = against.reduce((sum, [, number]) => sum + number, 0);
    if (against.length >= SERVICES_MIN && failures >= FAILURES_MIN) bad.add(id);
  }
  return bad;
}

function standsElsewhere(
  loads: ReadonlyMap<NodeId, NodeLoad>,
  load: NodeLoad,
  service: ServiceId,
): boolean {
  for (const other of loads.values()) {
    if (other === load || other.failuresOfService.has(service)) continue;
    if ((other.byService.get(service) ?? 0) > 0) return true;
  }
  return false;
}
