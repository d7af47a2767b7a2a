/** One call of one client. */
export interface Operation<I, O> {
  readonly client: number;
  readonly input: I;
  /** Undefined when the client does not know what became of it. */
  readonly output: O | undefined;
  /** On one clock for all clients, in any unit. */
  readonly calledAt: number;
  readonly returnedAt: number;
}

/** A call that was made; say once how it ended. */
export interface OpenCall<O> {
  /** It was answered. */
  returned(output: O): void;
  /** It certainly had no effect, and told nobody anything: as if never made. */
  nothing(): void;
}

/** Records calls of concurrent clients. A call that is never closed has an unknown outcome. */
export class History<I, O> {
  readonly #now: () => number;
  readonly #operations = new Set<{ -readonly [K in keyof Operation<I, O>]: Operation<I, O>[K] }>();

  constructor(now: () => number) {
    this.#now = now;
  }

  call(client: number, input: I): OpenCall<O> {
    const operation = {
      client,
      input,
      output: undefined as O | undefined,
      calledAt: this.#now(),
      returnedAt: Number.POSITIVE_INFINITY,
    };
    this.#operations.add(operation);
    return {
      returned: (output): void => {
        operation.output = output;
        operation.returnedAt = this.#now();
      },
      nothing: (): void => void this.#operations.delete(operation),
    };
  }

  /** In the order of the calls. */
  get operations(): readonly Operation<I, O>[] {
    return [...this.#operations];
  }
}
