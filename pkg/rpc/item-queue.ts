/** Hands items from several writers to one reader; writers wait while `max` items are unread. */
export class ItemQueue<T> implements AsyncIterable<T> {
  readonly #max: number;
  readonly #items: T[] = [];
  #error: Error | undefined;
  #closed = false;
  #wakeReader: () => void = () => undefined;
  readonly #wakeWriters: (() => void)[] = [];

  constructor(max: number) {
    this.#max = max;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Resolves when there is room again, or nobody reads any more. */
  async push(items: readonly T[]): Promise<void> {
    if (this.#closed) return;
    this.#items.push(...items);
    this.#wakeReader();
    while (this.#items.length >= this.#max && !this.#closed) {
      await new Promise<void>((resolve) => this.#wakeWriters.push(resolve));
    }
  }

  /** The reader gets what is queued, then the end, or `error`. */
  close(error?: Error): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error = error;
    this.#wakeReader();
    this.#releaseWriters();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for await (const items of this.batches()) yield* items;
  }

  /** Everything that is queued, at once. */
  async *batches(): AsyncGenerator<readonly T[]> {
    for (;;) {
      const items = this.#items.splice(0);
      this.#releaseWriters();
      if (items.length > 0) {
        yield items;
        continue;
      }
      if (this.#closed) break;
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
    }
    if (this.#error) throw this.#error;
  }

  #releaseWriters(): void {
    for (const wake of this.#wakeWriters.splice(0)) wake();
  }
}
