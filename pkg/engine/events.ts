import type { Clock } from '../io/index.ts';
import { msToNs } from './time.ts';

/** The Engine API's EventMessage. */
export interface EngineEvent {
  readonly Type: string;
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> };
  readonly scope: 'local' | 'swarm';
  readonly timeNs: bigint;
}

export interface EventOptions {
  readonly sinceNs?: bigint | undefined;
  readonly untilNs?: bigint | undefined;
  readonly signal: AbortSignal;
}

/** Events kept for `docker events --since`. */
const EVENTS_MAX = 1024;

/** What happened on this host, newest kept, everybody told. */
export class EventLog {
  readonly #clock: Clock;
  readonly #kept: EngineEvent[] = [];
  readonly #listeners = new Set<(event: EngineEvent) => void>();
  #lastNs = 0n;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  emit(
    type: string,
    action: string,
    actor: { readonly id: string; readonly attributes: Readonly<Record<string, string>> },
  ): void {
    const now = msToNs(this.#clock.now());
    this.#lastNs = now > this.#lastNs ? now : this.#lastNs + 1n;
    const event: EngineEvent = {
      Type: type,
      Action: action,
      Actor: { ID: actor.id, Attributes: actor.attributes },
      scope: 'local',
      timeNs: this.#lastNs,
    };
    this.#kept.push(event);
    if (this.#kept.length > EVENTS_MAX) this.#kept.shift();
    for (const listener of [...this.#listeners]) listener(event);
  }

  /** Kept events since `sinceNs`, then live ones; see `EventOptions`. */
  async *read(options: EventOptions): AsyncGenerator<EngineEvent> {
    const { sinceNs, untilNs, signal } = options;
    const queue: EngineEvent[] =
      sinceNs === undefined ? [] : this.#kept.filter((event) => event.timeNs >= sinceNs);
    let wake = (): void => undefined;
    const listener = (event: EngineEvent): void => {
      queue.push(event);
      wake();
    };
    const stop = (): void => wake();
    this.#listeners.add(listener);
    signal.addEventListener('abort', stop, { once: true });
    const remaining =
      untilNs === undefined
        ? undefined
        : Number((untilNs - msToNs(this.#clock.now())) / 1_000_000n);
    let over = remaining !== undefined && remaining <= 0;
    using timer = this.#clock.after(Math.min(remaining ?? 0, 2 ** 31 - 1), () => {
      if (remaining === undefined) return;
      over = true;
      wake();
    });
    try {
      while (!signal.aborted) {
        const event = queue.shift();
        if (event) {
          if (untilNs !== undefined && event.timeNs > untilNs) return;
          yield event;
          continue;
        }
        if (over) return;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      timer.cancel();
      this.#listeners.delete(listener);
      signal.removeEventListener('abort', stop);
    }
  }
}
