import { existsSync, type FSWatcher, watch } from 'node:fs';
import { dirname } from 'node:path';
import { LogCursor, logWants } from './log-file.ts';
import type { LogOptions, LogRecord } from './runtime.ts';

/**
 * Reads a log that a shim wrote or writes: `path`, `path.1`, … oldest record first. A missing log is an empty one.
 * With `follow` it goes on until `ended` resolves and everything written before is delivered, or `signal` fires;
 * `ended` is when the writer has stopped.
 */
export async function* readLogFile(
  path: string,
  options: LogOptions = {},
  ended: () => Promise<void> = () => Promise.resolve(),
): AsyncGenerator<LogRecord> {
  const cursor = new LogCursor(path);
  const follow = options.follow && existsSync(dirname(path));
  const news = follow ? new News(path, options.signal) : undefined;
  try {
    const stop = (): void => news?.stop();
    if (news) ended().then(stop, stop);
    yield* present(cursor, options);
    if (news) yield* followed(cursor, news, options);
  } finally {
    news?.close();
    await cursor.close();
  }
}

async function* followed(
  cursor: LogCursor,
  news: News,
  options: LogOptions,
): AsyncGenerator<LogRecord> {
  const { signal, until } = options;
  const wanted = logWants(options);
  for (let last = false; !last; ) {
    last = await news.next();
    if (signal?.aborted) return;
    for await (const record of cursor.read()) {
      if (until !== undefined && record.timeNs > until) return;
      if (wanted(record)) yield record;
    }
  }
}

async function* present(cursor: LogCursor, options: LogOptions): AsyncGenerator<LogRecord> {
  const { tail, since } = options;
  const wanted = logWants(options);
  if (tail !== undefined || since !== undefined) {
    await cursor.seek(tail ?? Number.POSITIVE_INFINITY, since ?? 0n, wanted);
  }
  for await (const record of cursor.read()) {
    if (wanted(record)) yield record;
  }
}

/** Tells when something may have been appended; never loses the last word. */
class News {
  readonly #watcher: FSWatcher;
  #fresh = false;
  #stopped = false;
  #wake: (() => void) | undefined;

  constructor(path: string, signal: AbortSignal | undefined) {
    this.#watcher = watch(dirname(path), { persistent: false });
    this.#watcher.on('change', () => this.#ring());
    this.#watcher.on('error', () => this.stop());
    signal?.addEventListener('abort', () => this.stop(), { once: true });
    if (signal?.aborted) this.stop();
  }

  /** Resolves after news; true when they were the last. */
  async next(): Promise<boolean> {
    while (!this.#fresh && !this.#stopped) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#fresh = false;
    return this.#stopped;
  }

  stop(): void {
    this.#stopped = true;
    this.#ring();
  }

  close(): void {
    this.#watcher.close();
  }

  #ring(): void {
    this.#fresh = true;
    this.#wake?.();
    this.#wake = undefined;
  }
}
