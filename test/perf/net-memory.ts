/**
 * Memory that services of three endpoints each cost a host: of the kernel for every container on their network and for
 * the host itself, and of the agent. `npx tsx --conditions=source test/perf/net-memory.ts [--containers=8]`. The kernel's is what the memory
 * controller charges this process for. Nobody is charged for hash buckets of nf_tables sets (65 bytes for each service and
 * container, by their number) and for the network's neighbours and FDB entries, which exist once.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { NetworkLab } from '../../pkg/overlaynet/testing/lab.ts';
import { mapBytes } from '../cluster/network-cycles.ts';
import { median, option, report, round } from './measure.ts';
import { attachOwn, HERE, tableOf } from './net-services.ts';

const CONTAINERS = option('containers', 8);
const FEW = 100;
const LOOK_EVERY_MS = 50;
const STILL_LOOKS = 6;
const STILL_BYTES = 16_384;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** File of this process's memory group that counts kernel memory, and how to read it. */
function kernelCounter(): () => number {
  const groups = readFileSync('/proc/self/cgroup', 'utf8').split('\n');
  const path = (controller: RegExp): string =>
    groups.find((line) => controller.test(line))?.split(':')[2] ?? '/';
  const folders = [
    ['/sys/fs/cgroup/memory', path(/^\d+:memory:/)],
    ['/sys/fs/cgroup', path(/^0::/)],
  ].flatMap(([mount = '', group = '']) => [join(mount, group), mount]);
  for (const folder of folders) {
    const charged = join(folder, 'memory.kmem.usage_in_bytes');
    if (existsSync(charged)) return () => Number(readFileSync(charged, 'utf8'));
    const stat = join(folder, 'memory.stat');
    if (!existsSync(stat) || !/^kernel \d/m.test(readFileSync(stat, 'utf8'))) continue;
    return () => Number(/^kernel (\d+)/m.exec(readFileSync(stat, 'utf8'))?.[1]);
  }
  throw new Error(
    'this process is in no group whose kernel memory is counted: mount the memory controller',
  );
}

interface Cost {
  /** Bytes of the kernel, for each container. */
  readonly container: readonly number[];
  /** Bytes of the kernel for what programs of sockets look up, once for the host. */
  readonly maps: number;
  /** Bytes of the agent's heap, containers included. */
  readonly agent: number;
}

/** What is freed after a grace period or by finalizers is gone when it stands still. */
async function still(read: () => number): Promise<number> {
  let [last, same] = [read(), 0];
  while (same < STILL_LOOKS) {
    await pause(LOOK_EVERY_MS);
    const now = read();
    same = Math.abs(now - last) < STILL_BYTES ? same + 1 : 0;
    last = now;
  }
  return last;
}

function heapUsed(): Promise<number> {
  return still(() => {
    collect();
    const { heapUsed: heap, external } = process.memoryUsage();
    return heap + external;
  });
}

async function costOf(services: number, kernel: () => number): Promise<Cost> {
  const lab = new NetworkLab();
  try {
    const host = await lab.host('h1', HERE, { cgroup: lab.cgroup });
    const table = tableOf(services, CONTAINERS);
    const agentBefore = await heapUsed();
    const mapsBefore = mapBytes(process.pid);
    host.applyTables([table]);
    const maps = mapBytes(process.pid) - mapsBefore;
    await still(kernel);
    const container: number[] = [];
    for (let index = 0; index < CONTAINERS; index++) {
      const before = kernel();
      await attachOwn(lab, host, table, { index, containers: CONTAINERS });
      container.push(kernel() - before);
    }
    await host.repair();
    return { container, maps, agent: (await heapUsed()) - agentBefore };
  } finally {
    await lab.close();
  }
}

const kernel = kernelCounter();
// The first of everything pays for caches and compiled code.
await costOf(FEW, kernel);
const few = await costOf(FEW, kernel);
for (const services of [1000, 5000]) {
  const many = await costOf(services, kernel);
  const each = (more: number, less: number): number => (more - less) / (services - FEW);
  report(
    `kernel memory for each container and service, ${services} services`,
    'B',
    many.container.map((bytes) => each(bytes, median(few.container))),
    { containerMiB: round(median(many.container) / 2 ** 20) },
  );
  report(`kernel memory for each service and host, ${services} services`, 'B', [
    each(many.maps, few.maps),
  ]);
  report(`agent memory for each service, ${services} services, ${CONTAINERS} containers`, 'B', [
    each(many.agent, few.agent),
  ]);
}
