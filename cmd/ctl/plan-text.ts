import type { Context } from './context.ts';
import { type Placement, placementText } from './explain-text.ts';
import { Failure } from './failure.ts';
import { printJson } from './output.ts';

const STEPS_SHOWN = 40;

/** The answer of `?dry-run=1`. */
interface PlanAnswer {
  readonly steps: readonly {
    readonly atMs: number;
    readonly action: string;
    readonly slot?: string;
    readonly node?: string;
    readonly text?: string;
  }[];
  readonly runningBefore: number;
  readonly runningMin: number;
  readonly runningAfter: number;
  readonly durationMs: number;
  readonly waiting: readonly { readonly slot: string; readonly placement?: Placement }[];
  readonly truncated: boolean;
}

/** Ask what a change would do, and show it. @throws ApiError, Failure when the manager is too old to know */
export async function printPlan(
  { client, output }: Context,
  change: {
    readonly path: string;
    readonly spec: unknown;
    readonly query: Readonly<Record<string, unknown>>;
    readonly options: Readonly<Record<string, unknown>>;
  },
): Promise<void> {
  const query = { ...change.query, 'dry-run': true };
  const plan = await client.post<PlanAnswer>(change.path, change.spec, query);
  if (!plan.steps) throw new Failure('the manager knows no --dry-run: the change was made');
  if (change.options['format'] === 'json') printJson(output, plan);
  else for (const line of planText(plan)) output.line(line);
}

/** One line per step, then what it comes to. */
export function planText(plan: PlanAnswer): readonly string[] {
  const { steps, runningBefore, runningMin, runningAfter, durationMs, waiting } = plan;
  const lines = steps
    .slice(0, STEPS_SHOWN)
    .map(({ atMs, action, slot, node, text }) =>
      slot === undefined
        ? `${clock(atMs)}  ${text ?? action}`
        : `${clock(atMs)}  ${action.padEnd(5)} ${slot} on ${node ?? '?'}`,
    );
  const more = steps.length - STEPS_SHOWN;
  if (more > 0) lines.push(`… and ${more} more steps (--format json shows all)`);
  if (steps.length === 0) lines.push('no task would stop or start');
  lines.push(
    `running: ${runningBefore} now, at least ${runningMin} on the way, ${runningAfter} then`,
  );
  if (steps.length > 0 && waiting.length === 0) {
    const about = plan.truncated ? 'longer than' : 'about';
    lines.push(`takes ${about} ${(durationMs / 1000).toFixed(1)} s if every task comes up at once`);
  }
  if (waiting.length > 0) {
    const [first] = waiting;
    lines.push(`would wait for a node: ${waiting.map(({ slot }) => slot).join(', ')}`);
    if (first?.placement) lines.push(...placementText(first.placement, undefined));
  }
  return lines;
}

function clock(ms: number): string {
  return `+${(ms / 1000).toFixed(1)}s`.padStart(9);
}
