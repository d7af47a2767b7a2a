/** Who kept the event loop busy, from a profile of V8 (the inspector's Profiler) with the rounds that were too long. */
import type { ChildProcess } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

interface ProfileNode {
  readonly id: number;
  readonly callFrame: {
    readonly functionName: string;
    readonly url: string;
    readonly lineNumber: number;
  };
  readonly children?: readonly number[];
}

interface Profile {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly startTime: number;
  /** Microseconds since the sample before. */
  readonly timeDeltas: readonly number[];
  /** Microseconds on the profile's clock when the program began. */
  readonly origin: number;
  /** Milliseconds; the first two since the program began. */
  readonly long: readonly {
    readonly from: number;
    readonly to: number;
    readonly wallMs: number;
    readonly ranMs: number;
    readonly waitedMs: number;
    readonly gcMs: number;
  }[];
}

/** Programs started after this record what they do; `takeProfiles` reads it. */
export function profileInto(folder: string): void {
  process.env['LOOP_PROBE'] = folder;
  process.env['LOOP_PROFILE'] = '1';
  process.env['NODE_OPTIONS'] = `--import=${join(import.meta.dirname, 'loop-probe.mjs')}`;
}

/** How often profiles were taken; as loop-probe.mjs counts in each program. */
let phase = 0;

/** Ends what these programs recorded since the last time, and prints the functions that were busy. */
export async function takeProfiles(
  folder: string,
  programs: readonly ChildProcess[],
  what: string,
  rows: number,
): Promise<void> {
  if (programs.length > 0) phase += 1;
  for (const program of programs) {
    const file = join(folder, `${program.pid}-${phase}.cpuprofile`);
    program.kill('SIGUSR2');
    while (!existsSync(file)) await pause(50);
    await pause(500);
    for (const line of busiest(file, rows)) process.stdout.write(`${what} ${line}\n`);
  }
}

/** Lines about the functions that used the most processor time by themselves. */
function busiest(file: string, rows: number): readonly string[] {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(file, 'utf8')) as Profile;
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const spent = new Map<string, number>();
  let total = 0;
  samples.forEach((id, at) => {
    const name = names.get(id) ?? '';
    if (name.startsWith('(idle)')) return;
    const micros = timeDeltas[at + 1] ?? 0;
    total += micros;
    spent.set(name, (spent.get(name) ?? 0) + micros);
  });
  const sorted = [...spent].sort(([, left], [, right]) => right - left).slice(0, rows);
  return [
    `${file.split('/').at(-1)}: busy for ${(total / 1000).toFixed(0)} ms`,
    ...sorted.map(([name, micros]) => `  ${(micros / 1000).toFixed(0).padStart(7)} ms  ${name}`),
  ];
}

const RESTING = new Set(['(idle)', '(root)']);
const ROWS = 14;
const ROUNDS = 12;
const FUNCTIONS = 4;
const CALLERS = 3;

/** Lines about the rounds of the loop that were too long: all of them together, then the longest one by one. */
export function longRounds(file: string): readonly string[] {
  const profile = JSON.parse(readFileSync(file, 'utf8')) as Profile;
  const name = namesOf(profile.nodes);
  const rounds = profile.long.map((round) => ({
    ...round,
    from: profile.origin + round.from * 1000,
    to: profile.origin + round.to * 1000,
    spent: new Map<string, number>(),
  }));
  const total = new Map<string, number>();
  let at = profile.startTime;
  let next = 0;
  profile.samples.forEach((id, position) => {
    at += profile.timeDeltas[position] ?? 0;
    while (next < rounds.length && (rounds[next]?.to ?? 0) < at) next++;
    const round = rounds[next];
    const where = name(id);
    if (round === undefined || at < round.from || where === undefined) return;
    const spent = profile.timeDeltas[position + 1] ?? 0;
    add(round.spent, where, spent);
    add(total, where, spent);
  });
  const longest = rounds.toSorted((left, right) => right.ranMs - left.ranMs).slice(0, ROUNDS);
  return [
    `${file.split('/').at(-1)}: ${rounds.length} rounds too long`,
    ...top(total, ROWS).map((line) => `  ${line}`),
    ...longest.flatMap(({ wallMs, waitedMs, ranMs, gcMs, spent }) => [
      `  round of ${wallMs.toFixed(0)} ms: ran ${ranMs.toFixed(0)}, waited ${waitedMs.toFixed(0)}, gc ${gcMs.toFixed(0)}`,
      ...top(spent, FUNCTIONS).map((line) => `    ${line}`),
    ]),
  ];
}

function add(sums: Map<string, number>, key: string, more: number): void {
  sums.set(key, (sums.get(key) ?? 0) + more);
}

function top(sums: ReadonlyMap<string, number>, rows: number): readonly string[] {
  const sorted = [...sums].sort(([, left], [, right]) => right - left).slice(0, rows);
  return sorted.map(([where, micros]) => `${(micros / 1000).toFixed(1).padStart(7)} ms  ${where}`);
}

/** A function with those that called it; undefined for rest. */
function namesOf(nodes: readonly ProfileNode[]): (id: number) => string | undefined {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const callers = new Map(nodes.flatMap(({ id, children = [] }) => children.map((to) => [to, id])));
  return (id) => {
    const names: string[] = [];
    for (let at: number | undefined = id; at !== undefined; at = callers.get(at)) {
      const { functionName, url, lineNumber } = (byId.get(at) as ProfileNode).callFrame;
      if (names.length === 0 && RESTING.has(functionName)) return undefined;
      const place = url === '' ? '' : ` ${url.split('/').at(-1)}:${lineNumber + 1}`;
      if (functionName !== '(root)') names.push(`${functionName || '(anonymous)'}${place}`);
    }
    return names.slice(0, 1 + CALLERS).join(' < ');
  };
}

function nameOf({ functionName, url, lineNumber }: Profile['nodes'][number]['callFrame']): string {
  return `${functionName || '(anonymous)'} ${url.split('/').at(-1)}:${lineNumber + 1}`;
}
