import { neighbourSysctls } from '../../pkg/overlaynet/host-sysctls.ts';
import { linuxKernel } from '../../pkg/overlaynet/kernel/linux.ts';
import { ensureSysctls } from '../../pkg/overlaynet/reconcile.ts';

const LIMIT = 'net/ipv4/neigh/default/gc_thresh3';

/**
 * What an agent does on a machine of its own; hosts that are network namespaces share one table and cannot.
 * Returns what puts the limits back.
 */
export function raiseNeighbourLimits(): () => void {
  using namespace = linuxKernel.open('/proc/self/ns/net');
  if (namespace.readSysctl(LIMIT) === undefined)
    process.stderr.write('limits of neighbours cannot be seen here: raise them before\n');
  const before = ensureSysctls(namespace, neighbourSysctls(namespace));
  return () => {
    using again = linuxKernel.open('/proc/self/ns/net');
    ensureSysctls(again, before);
  };
}
