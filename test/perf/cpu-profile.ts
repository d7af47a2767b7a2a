/** Who kept the event loop busy, from a profile of V8 (the inspector's Profiler). */
import { readFileSync } from 'node:fs';

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: {
      readonly functionName: string;
      readonly url: string;
      readonly lineNumber: number;
    };
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
  /** Microseconds since the sample before. */
  readonly timeDeltas: readonly number[];
}

const RESTING = new Set(['(idle)', '(program)', '(root)']);
const ROWS = 12;

/** Lines about the functions that ran in stretches without rest of more than `ms`, most of the time first. */
export function longStretches(file: string, ms: number): readonly string[] {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(file, 'utf8')) as Profile;
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const total = new Map<string, number>();
  let longest = 0;
  let count = 0;
  let stretch = new Map<string, number>();
  let micros = 0;
  const end = (): void => {
    if (micros > ms * 1000) {
      count++;
      longest = Math.max(longest, micros);
      for (const [name, spent] of stretch) total.set(name, (total.get(name) ?? 0) + spent);
    }
    stretch = new Map();
    micros = 0;
  };
  samples.forEach((id, at) => {
    const frame = frames.get(id);
    if (frame === undefined || RESTING.has(frame.functionName)) {
      end();
      return;
    }
    const spent = timeDeltas[at + 1] ?? 0;
    const where = `${frame.functionName || '(anonymous)'} ${frame.url.split('/').at(-1)}:${frame.lineNumber + 1}`;
    stretch.set(where, (stretch.get(where) ?? 0) + spent);
    micros += spent;
  });
  end();
  const rows = [...total].sort(([, left], [, right]) => right - left).slice(0, ROWS);
  return [
    `${file.split('/').at(-1)}: ${count} stretches of more than ${ms} ms, the longest ${Math.round(longest / 1000)} ms`,
    ...rows.map(([where, spent]) => `  ${(spent / 1000).toFixed(0).padStart(7)} ms  ${where}`),
  ];
}
