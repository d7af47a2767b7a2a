/**
 * What one changed endpoint costs a host on a network with many services, three endpoints each, and five containers on
 * it: from the table to the kernel. `npx tsx --conditions=source test/perf/net-endpoint-change.ts [--runs=20]`.
 */

import type { NetworkTable } from '../../pkg/model/index.ts';
import { NetworkLab } from '../../pkg/overlaynet/testing/lab.ts';
import { networkTable, type TestEndpoint } from '../../pkg/overlaynet/testing/table.ts';
import { option, quantile, report, round } from './measure.ts';

const ENDPOINTS_EACH = 3;
const CONTAINERS = option('containers', 5);
const HERE = 1;
const runs = option('runs', 20);

/** The `number`th address of 10.32.0.0/14, after the first 256. */
function address(number: number): string {
  const value = number + 256;
  return `10.${32 + (value >> 16)}.${(value >> 8) & 255}.${value & 255}`;
}

function tableOf(services: number): NetworkTable {
  const numbers = Array.from({ length: services }, (_, index) => index);
  const total = services * (ENDPOINTS_EACH + 1);
  const endpoints: TestEndpoint[] = numbers.flatMap((service) =>
    Array.from({ length: ENDPOINTS_EACH }, (_, index) => ({
      address: address(service * (ENDPOINTS_EACH + 1) + index + 1),
      node: 2 + (index % 2),
      service: `s${service}`,
    })),
  );
  const own = Array.from({ length: CONTAINERS }, (_, index) => ({
    address: address(total + index),
    node: HERE,
    service: 'client',
  }));
  return {
    ...networkTable({
      subnet: '10.32.0.0/14',
      endpoints: [...endpoints, ...own],
      services: numbers.map((service) => ({
        name: `s${service}`,
        vip: address(service * (ENDPOINTS_EACH + 1)),
      })),
    }),
    subnets: [{ subnet: '10.32.0.0/14', gateway: '10.32.0.1' }],
  };
}

/** The same table with the endpoint at `at` taken out of service, or put back: what an update does all the time. */
function toggled(table: NetworkTable, at: number, revision: number): NetworkTable {
  const endpoints = table.endpoints.with(at, {
    ...(table.endpoints[at] ?? raise()),
    state: table.endpoints[at]?.state === 'out' ? 'in-service' : 'out',
  });
  return { ...table, endpoints, revision: revision as NetworkTable['revision'] };
}

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
    const host = await lab.host('h1', HERE);
    let table = tableOf(services);
    const begun = performance.now();
    host.applyTables([table]);
    for (let index = 0; index < CONTAINERS; index++) {
      const own = table.endpoints.length - CONTAINERS + index;
      await host.attach({
        containerId: `c${index}`,
        netns: lab.namespace(`c${index}`),
        name: `c${index}`,
        hostname: `c${index}`,
        overlays: [
          { networkId: table.networkId, address: `${table.endpoints[own]?.addresses[0]}/14` },
        ],
      });
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
