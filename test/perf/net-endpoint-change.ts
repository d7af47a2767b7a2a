/**
 * What one changed endpoint costs a host on a network with many services, three endpoints each, and five containers on
 * it: from the table to the kernel. `npx tsx --conditions=source test/perf/net-endpoint-change.ts [--runs=20]`.
 */

import type { NetworkTable } from '../../pkg/model/index.ts';
import { NetworkLab } from '../../pkg/overlaynet/testing/lab.ts';
import { option, quantile, report, round } from './measure.ts';
import { attachOwn, ENDPOINTS_EACH, HERE, tableOf, toggled } from './net-services.ts';

const CONTAINERS = option('containers', 5);
const runs = option('runs', 20);

/** The endpoint at `at` is replaced by another task at another address on the other node. */
function replaced(table: NetworkTable, at: number, revision: number): NetworkTable {
  const old = table.endpoints[at] ?? raise();
  const next = {
    ...old,
    taskId: `next${revision}` as typeof old.taskId,
    nodeId: (old.nodeId === 'node-2' ? 'node-3' : 'node-2') as typeof old.nodeId,
    addresses: [`10.35.${revision >> 8}.${revision & 255}`],
    state: 'in-service' as const,
  };
  return {
    ...table,
    endpoints: table.endpoints.with(at, next),
    revision: revision as NetworkTable['revision'],
  };
}

function raise(): never {
  throw new Error('there is no such endpoint');
}

for (const services of [100, 1000, 5000]) {
  const lab = new NetworkLab();
  try {
    const host = await lab.host('h1', HERE, { cgroup: lab.cgroup });
    let table = tableOf(services, CONTAINERS);
    const begun = performance.now();
    host.applyTables([table]);
    for (let index = 0; index < CONTAINERS; index++) {
      await attachOwn(lab, host, table, { index, containers: CONTAINERS });
    }
    const firstMs = performance.now() - begun;
    for (const [what, change] of [
      ['changes', toggled],
      ['is replaced', replaced],
    ] as const) {
      const values: number[] = [];
      const cpuBefore = process.cpuUsage();
      for (let run = 0; run < runs; run++) {
        const next = change(table, (run * 37) % (services * ENDPOINTS_EACH), run + 2);
        const at = performance.now();
        host.applyTables([next]);
        values.push(performance.now() - at);
        table = next;
      }
      const { user, system } = process.cpuUsage(cpuBefore);
      report(`one endpoint ${what}, ${services} services, ${CONTAINERS} containers`, 'ms', values, {
        p95: round(quantile(values, 0.95)),
        cpuMs: round((user + system) / 1000 / runs),
        firstMs: round(firstMs),
      });
    }
  } finally {
    await lab.close();
  }
}
