/**
 * A container from create to its end through the API of one host, beside `crun run` and `runc run` of the same program
 * where these are installed: `npx tsx --conditions=source test/perf/start.ts [--runs=20]`.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApiClient, withLab } from './lab.ts';
import { option, report } from './measure.ts';

const BUSYBOX = '/bin/busybox';
const IMAGE = 'perf/true:1';
const runs = option('runs', 20);

interface Spec {
  process: { terminal: boolean; args: readonly string[] };
  root: { readonly: boolean };
}

/** A root file system with one static program, which ends at once. */
function makeRoot(folder: string): string {
  const root = join(folder, 'rootfs');
  mkdirSync(join(root, 'bin'), { recursive: true });
  copyFileSync(BUSYBOX, join(root, 'bin/true'));
  return root;
}

function makeBundle(runtime: string, folder: string): void {
  rmSync(join(folder, 'config.json'), { force: true });
  execFileSync(runtime, ['spec'], { cwd: folder });
  const file = join(folder, 'config.json');
  const spec = JSON.parse(readFileSync(file, 'utf8')) as Spec;
  spec.process.terminal = false;
  spec.process.args = ['/bin/true'];
  writeFileSync(file, JSON.stringify(spec));
}

/** crun refuses a mixed hierarchy: it gets a mount namespace without the second one. */
function runOnce(runtime: string, folder: string): number {
  const hide = 'umount -l /sys/fs/cgroup/unified 2>/dev/null; exec "$@"';
  const inside = ['sh', '-c', hide, 'sh', runtime, 'run', '-b', folder, `perf-${process.pid}`];
  const begun = performance.now();
  const done = spawnSync('unshare', ['-m', '--propagation', 'private', ...inside]);
  if (done.status !== 0) throw new Error(`${runtime}: ${done.stderr}`);
  return performance.now() - begun;
}

async function startOnce(client: ApiClient): Promise<readonly [start: number, whole: number]> {
  const begun = performance.now();
  const body = { Image: IMAGE, Cmd: ['/bin/true'], HostConfig: { NetworkMode: 'none' } };
  const { Id } = (await client.call('POST', '/containers/create', body)) as { readonly Id: string };
  const created = performance.now();
  const ended = client.call('POST', `/containers/${Id}/wait?condition=next-exit`);
  await client.call('POST', `/containers/${Id}/start`);
  const started = performance.now();
  await ended;
  const whole = performance.now() - begun;
  await client.call('DELETE', `/containers/${Id}`);
  return [started - created, whole];
}

const runtimes = ['crun', 'runc'].filter((name) => spawnSync(name, ['--version']).status === 0);
await withLab('perfstart', { managers: 0, agents: 1 }, async (lab) => {
  const folder = mkdtempSync(join(tmpdir(), 'muster-perf-'));
  const socket = lab.host('h1').socket;
  const client = new ApiClient(socket);
  try {
    const root = makeRoot(folder);
    const archive = join(folder, 'root.tar');
    execFileSync('tar', ['-C', root, '-cf', archive, '.']);
    execFileSync('docker', ['-H', `unix://${socket}`, 'import', archive, IMAGE]);
    const found = new Map<string, number[]>();
    const add = (name: string, value: number): void =>
      void found.set(name, [...(found.get(name) ?? []), value]);
    await startOnce(client);
    for (let run = 0; run < runs; run++) {
      const [start, whole] = await startOnce(client);
      add('container start, request to answer', start);
      add('container create, start and end', whole);
      for (const runtime of runtimes) {
        if (run === 0) makeBundle(runtime, folder);
        add(`${runtime} run`, runOnce(runtime, folder));
      }
    }
    for (const [name, values] of found) report(name, 'ms', values);
  } finally {
    client.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
