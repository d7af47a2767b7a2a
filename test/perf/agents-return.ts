/**
 * The leader of three managers is killed: until each of many agents has a session with the next leader, and how many
 * nodes are taken for down meanwhile though all agents live:
 * `npm run build && npx tsx --conditions=source test/perf/agents-return.ts [--agents=300] [--profile=1]`.
 * `--profile` says what kept the next leader busy.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { profileInto, takeProfiles } from './cpu-profile.ts';
import { Crowd } from './crowd.ts';
import { ApiClient } from './lab.ts';
import { cpuSeconds, type Managers, startManagers } from './managers.ts';
import { option, report, round } from './measure.ts';

const agents = option('agents', 300);
const profile = option('profile', 0) > 0;
const POLL_MS = 1000;
const SETTLE_MS = 3000;
const ROWS = 30;

interface NodeJson {
  readonly ID: string;
  readonly Status: { readonly State: string };
}

const folder = mkdtempSync(join(tmpdir(), 'muster-return-'));
if (profile) profileInto(folder);
let managers: Managers | undefined;
let crowd: Crowd | undefined;
try {
  managers = await startManagers(folder, 3);
  crowd = await Crowd.start(folder);
  crowd.join(managers, agents);
  await crowd.until('agents join', ({ joined }) => joined === agents);
  await pause(SETTLE_MS);
  await measure(managers, crowd);
} finally {
  crowd?.end();
  for (const one of managers?.all ?? []) one.process.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}

async function measure({ all }: Managers, many: Crowd): Promise<void> {
  const [leader, ...others] = all;
  if (!leader) return;
  const { sessions, connections } = many.counts;
  const profiled = profile ? others.map(({ process: program }) => program) : [];
  await takeProfiles(folder, profiled, 'before', 1);
  const programs = [...others, many];
  const before = programs.map(cpuSeconds);
  const known = new Set<string>();
  for (const { socket } of others) await noteDown(socket, known);
  const down = new Set<string>();
  const watching = new AbortController();
  const watches = others.map(({ socket }) => watchNodes(socket, down, watching.signal));
  const begun = performance.now();
  const arrived: number[] = [];
  leader.process.kill('SIGKILL');
  for (const part of [0.5, 0.9, 1]) {
    const wanted = sessions + Math.ceil(agents * part);
    await many.until('all find the new leader', (counts) => counts.sessions >= wanted);
    arrived.push(round((performance.now() - begun) / 1000));
  }
  const used = programs.map((one, at) => round(cpuSeconds(one) - (before[at] ?? 0)));
  const dialled = many.counts.connections - connections;
  await takeProfiles(folder, profiled, 'return', ROWS);
  await pause(SETTLE_MS);
  watching.abort();
  await Promise.all(watches);
  report('all agents have a session with a new leader', 's', arrived.slice(-1), {
    agents,
    half: arrived[0] ?? 0,
    most: arrived[1] ?? 0,
    takenForDown: [...down].filter((id) => !known.has(id)).length,
    connections: dialled,
    managersAndAgentsCpuS: used.join(' '),
  });
}

async function watchNodes(socket: string, down: Set<string>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await noteDown(socket, down);
    await pause(POLL_MS);
  }
}

/** Notes every node that this manager shows as down. */
async function noteDown(socket: string, down: Set<string>): Promise<void> {
  const client = new ApiClient(socket);
  const listed = await client.call('GET', '/nodes').catch(() => []);
  for (const { ID, Status } of listed as NodeJson[]) if (Status.State === 'down') down.add(ID);
  client.close();
}
