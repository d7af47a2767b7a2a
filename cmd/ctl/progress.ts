import { ApiError, type Client, filters } from './client.ts';
import { Failure } from './failure.ts';
import { colour, type Output } from './output.ts';

interface ServiceView {
  readonly ID: string;
  readonly Spec: {
    readonly Name: string;
    readonly Mode: {
      readonly Replicated?: { readonly Replicas?: number };
      readonly Global?: object;
      readonly ReplicatedJob?: { readonly TotalCompletions?: number };
      readonly GlobalJob?: object;
    };
  };
  readonly UpdateStatus?: { readonly State: string; readonly Message: string };
}

interface TaskView {
  readonly ID: string;
  readonly Slot?: number;
  readonly NodeID?: string;
  readonly DesiredState: string;
  readonly Status: { readonly State: string; readonly Err?: string; readonly Message?: string };
}

interface NodeView {
  readonly Status: { readonly State: string };
  readonly Spec: { readonly Availability: string };
}

const POLL_MS = 100;
const PATIENCE_STEP_MS = 500;
const PATIENCE_TRIES = 20;
const TERMINAL = new Set(['complete', 'shutdown', 'failed', 'rejected', 'remove', 'orphaned']);
const FAILED_UPDATES = new Set(['paused', 'rollback_paused', 'rollback_completed']);

/**
 * Shows a service converging until it has, or until its update failed.
 * @throws Failure when an update was paused or rolled back, saying why
 */
export async function waitConverged(
  client: Client,
  id: string,
  options: {
    readonly output: Output;
    readonly quiet: boolean;
    readonly rollback?: boolean | undefined;
  },
): Promise<void> {
  const screen = new Screen(options.output, options.quiet);
  for (;;) {
    const service = await patiently(() => client.get<ServiceView>(`/services/${id}`));
    const tasks = await patiently(() =>
      client.get<TaskView[]>('/tasks', {
        filters: filters({ service: [id], '_up-to-date': ['true'] }),
      }),
    );
    const nodes = await patiently(() => client.get<NodeView[]>('/nodes'));
    const wanted = tasksWanted(
      service,
      nodes.filter((node) => node.Status.State === 'ready' && node.Spec.Availability === 'active')
        .length,
    );
    const current = tasks.filter((task) => !TERMINAL.has(task.DesiredState));
    screen.show(service, current, wanted);
    const update = service.UpdateStatus;
    if (
      update &&
      FAILED_UPDATES.has(update.State) &&
      !(options.rollback && update.State === 'rollback_completed')
    ) {
      screen.end(service.Spec.Name, undefined);
      throw new Failure(`service ${service.Spec.Name}: ${update.Message}`);
    }
    const busy = update?.State === 'updating' || update?.State === 'rollback_started';
    if (!busy && isConverged(service, current, tasks, wanted)) {
      screen.end(service.Spec.Name, wanted);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** A manager that was lost is back, or has a successor, within seconds; what is watched goes on meanwhile. */
async function patiently<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await ask();
    } catch (error) {
      const away = error instanceof ApiError && error.status === 503;
      if (!away || tries >= PATIENCE_TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, PATIENCE_STEP_MS));
    }
  }
}

function isJob(service: ServiceView): boolean {
  return Boolean(service.Spec.Mode.ReplicatedJob ?? service.Spec.Mode.GlobalJob);
}

function tasksWanted(service: ServiceView, readyNodes: number): number {
  const mode = service.Spec.Mode;
  if (mode.Global || mode.GlobalJob) return readyNodes;
  return mode.ReplicatedJob?.TotalCompletions ?? mode.Replicated?.Replicas ?? 1;
}

function isConverged(
  service: ServiceView,
  current: readonly TaskView[],
  all: readonly TaskView[],
  wanted: number,
): boolean {
  if (isJob(service))
    return all.filter((task) => task.Status.State === 'complete').length >= wanted;
  const running = new Set(
    current
      .filter((task) => task.Status.State === 'running')
      .map((task) => task.Slot ?? task.NodeID),
  );
  return running.size === wanted && current.length === wanted;
}

/** Redraws in place on a terminal; elsewhere one line per change. */
class Screen {
  readonly #output: Output;
  readonly #quiet: boolean;
  #drawn = 0;
  #last = '';
  /** A task that cannot run is replaced again and again; its reason stays on the screen meanwhile. */
  #reasons: readonly string[] = [];

  constructor(output: Output, quiet: boolean) {
    this.#output = output;
    this.#quiet = quiet;
  }

  show(service: ServiceView, tasks: readonly TaskView[], wanted: number): void {
    const running = tasks.filter((task) => task.Status.State === 'running').length;
    const lines = [`overall progress: ${running} out of ${wanted} tasks`, ...this.#trouble(tasks)];
    const update = service.UpdateStatus;
    if (update?.State === 'rollback_started') lines.push(`rollback: ${update.Message}`);
    const text = lines.join('\n');
    if (this.#quiet || text === this.#last) return;
    this.#last = text;
    if (this.#output.interactive) {
      if (this.#drawn > 0) this.#output.raw(`\u001b[${this.#drawn}A\u001b[J`);
      this.#drawn = lines.length;
    }
    for (const line of lines) this.#output.line(line);
  }

  end(name: string, wanted: number | undefined): void {
    if (this.#quiet) return;
    if (wanted !== undefined) {
      this.#output.line(
        colour(this.#output, 'green', `verify: service ${name} converged, ${wanted} running`),
      );
    }
  }

  #trouble(tasks: readonly TaskView[]): readonly string[] {
    const errors = new Set(tasks.flatMap((task) => (task.Status.Err ? [task.Status.Err] : [])));
    const allRun = tasks.every((task) => task.Status.State === 'running');
    if (errors.size > 0 || allRun) this.#reasons = [...errors].slice(0, 3);
    return this.#reasons.map((error) => colour(this.#output, 'yellow', `  ${error}`));
  }
}
