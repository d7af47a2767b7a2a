/**
 * Memory of idle processes, three managers and one worker with one container:
 * `npx tsx --conditions=source test/perf/memory.ts`. Pss counts shared pages by share.
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Host } from '../../deploy/lab/host.ts';
import { withLab } from './lab.ts';
import { option, report, round } from './measure.ts';

const IDLE_MS = 1000 * option('idle', 10);
const KIB_PER_MIB = 1024;
const ROOT = join(import.meta.dirname, '../..');

interface Memory {
  readonly rss: number;
  readonly pss: number;
}

/** In MiB (proc(5), smaps_rollup). */
function memoryOf(pid: number): Memory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const of = (name: string): number =>
    Number(new RegExp(`^${name}: +(\\d+) kB`, 'm').exec(text)?.[1]) / KIB_PER_MIB;
  return { rss: of('Rss'), pss: of('Pss') };
}

function show(name: string, pids: readonly number[]): void {
  const found = pids.map(memoryOf);
  const pss = round(found.reduce((sum, memory) => sum + memory.pss, 0) / found.length);
  report(
    name,
    'MiB RSS',
    found.map((memory) => memory.rss),
    { pss },
  );
}

/** Shims belong to nobody: they are found by their program, below the host's cgroup. */
function shimsOf(host: Host): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const isShim = readlinkSync(`/proc/${pid}/exe`).includes('muster-init');
        return isShim && readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(host.cgroupParent);
      } catch {
        return false;
      }
    });
}

await withLab('perfmem', { managers: 3, agents: 1 }, async (lab) => {
  const worker = lab.host('h4');
  const archive = join(lab.folder, 'web.tar');
  const docker = (...args: readonly string[]): string =>
    execFileSync('docker', ['-H', `unix://${worker.socket}`, ...args], { encoding: 'utf8' });
  execFileSync(process.execPath, [join(ROOT, 'deploy/image/make.mjs'), archive, 'muster/web:1']);
  docker('load', '-q', '-i', archive);
  docker('run', '-d', '--network', 'none', 'muster/web:1');
  await pause(IDLE_MS);
  show(
    'idle manager',
    lab.hosts.flatMap((host) => host.managerPid ?? []),
  );
  show(
    'idle agent',
    lab.hosts.flatMap((host) => host.agentPid ?? []),
  );
  show('shim of one container', shimsOf(worker));
});
