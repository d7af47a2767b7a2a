import type { ClusterError, Version } from '../model/index.ts';
import type { Batch } from './contract.ts';
import { History } from './history.ts';

/** Tells of what is applied: at once to those who listen, and in their own time to those who follow. */
export class Feed {
  readonly #listeners = new Set<(batch: Batch) => void>();
  readonly #history: History;

  constructor(changesMax: number, index: Version) {
    this.#history = new History(changesMax, index);
  }

  watch(listener: (batch: Batch) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: (): void => void this.#listeners.delete(listener) };
  }

  follow(after: Version, signal: AbortSignal): AsyncIterable<Batch> {
    return this.#history.follow(after, signal);
  }

  publish(batch: Batch): void {
    this.#history.add(batch);
    for (const listener of [...this.#listeners]) listener(batch);
  }

  /** What is applied up to here is not told any more. */
  forget(index: Version): void {
    this.#history.forget(index);
  }

  end(error: ClusterError): void {
    this.#history.end(error);
  }
}
