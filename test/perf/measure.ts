/** What the measurements have in common: rows, medians, programs built as they are shipped, free ports. */
import { execFileSync } from 'node:child_process';
import { createServer } from 'node:net';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { build } from 'esbuild';

const ROOT = join(import.meta.dirname, '../..');

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The value below which the share `q` of them lies. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}

/** One line of JSON on stdout. `more` is printed beside the median, e.g. latencies. */
export function report(
  name: string,
  unit: string,
  values: readonly number[],
  more: Readonly<Record<string, number | string>> = {},
): void {
  const row = {
    name,
    values: values.map(round),
    median: round(median(values)),
    unit,
    ...more,
    machine: `${cpus().length} x ${cpus()[0]?.model ?? 'cpu'}, load ${loadavg()[0]?.toFixed(1)}`,
    commit: execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      cwd: ROOT,
      encoding: 'utf8',
    }).trim(),
  };
  process.stdout.write(`${JSON.stringify(row)}\n`);
}

/** The longest turn of the event loop while `work` is under way, and the whole of it. */
export async function longestTurn(
  work: () => unknown,
): Promise<{ readonly longestMs: number; readonly wholeMs: number }> {
  let [longestMs, isOver] = [0, false];
  await nextTurn();
  const begun = performance.now();
  let last = begun;
  const look = (): void => {
    const now = performance.now();
    longestMs = Math.max(longestMs, now - last);
    last = now;
    if (!isOver) setImmediate(look);
  };
  setImmediate(look);
  await work();
  const wholeMs = performance.now() - begun;
  isOver = true;
  await nextTurn();
  return { longestMs, wholeMs };
}

export function round(value: number): number {
  return Number(value.toPrecision(4));
}

/** Bundles a program as `npm run build` does: a loader in between would be measured too. */
export async function bundle(entry: string, outfile: string): Promise<void> {
  const banner =
    "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);";
  await build({
    entryPoints: [join(import.meta.dirname, entry)],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    conditions: ['source'],
    external: ['koffi'],
    sourcemap: 'linked',
    banner: { js: banner },
    logLevel: 'warning',
  });
}

/** A port of the loopback that was free a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

/** `--name=value` of the command line, or the default. */
export function option(name: string, fallback: number): number {
  const given = process.argv.find((word) => word.startsWith(`--${name}=`));
  return given === undefined ? fallback : Number(given.split('=')[1]);
}

export interface Rate {
  readonly perSecond: number;
  readonly latenciesMs: readonly number[];
  /** Processor time of all members per call, in microseconds, where it was looked at. */
  readonly cpuUs?: number | undefined;
}

/** `measure`, with what each call cost the members of the group. */
export async function withCpu(
  group: { cpuUs(): Promise<number> },
  measure: () => Promise<Rate>,
): Promise<Rate> {
  const before = await group.cpuUs();
  const rate = await measure();
  return { ...rate, cpuUs: ((await group.cpuUs()) - before) / rate.latenciesMs.length };
}

/** Keeps `inFlight` calls under way for `ms`. */
export async function measureRate(
  inFlight: number,
  ms: number,
  call: () => Promise<unknown>,
): Promise<Rate> {
  const latenciesMs: number[] = [];
  const begun = performance.now();
  const one = async (): Promise<void> => {
    while (performance.now() - begun < ms) {
      const at = performance.now();
      await call();
      latenciesMs.push(performance.now() - at);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, one));
  return { perSecond: latenciesMs.length / ((performance.now() - begun) / 1000), latenciesMs };
}

/** Values of runs that alternate between contenders, so that what else the machine does hits all alike. */
export async function alternate(
  runs: number,
  contenders: Readonly<Record<string, () => Promise<Rate>>>,
): Promise<ReadonlyMap<string, readonly Rate[]>> {
  const found = new Map<string, Rate[]>();
  for (let run = 0; run < runs; run++) {
    const order = Object.entries(contenders);
    if (run % 2 === 1) order.reverse();
    for (const [name, measure] of order) {
      const rate = await measure();
      found.set(name, [...(found.get(name) ?? []), rate]);
    }
  }
  return found;
}

export function reportRates(name: string, rates: readonly Rate[]): number {
  const latencies = rates.flatMap(({ latenciesMs }) => latenciesMs);
  const values = rates.map(({ perSecond }) => perSecond);
  const cpuUs = rates.flatMap((rate) => rate.cpuUs ?? []);
  report(name, '/s', values, {
    p50ms: round(quantile(latencies, 0.5)),
    p99ms: round(quantile(latencies, 0.99)),
    ...(cpuUs.length > 0 && { cpuUs: round(median(cpuUs)) }),
  });
  return median(values);
}
