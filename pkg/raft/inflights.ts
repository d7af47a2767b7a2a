import { assert } from './error.ts';
import type { Index } from './message.ts';

const SHRINK_AFTER = 64;

/** The MsgApps that are on the way to one member: their last indexes in ascending order, and their bytes. */
export class Inflights {
  readonly #countMax: number;
  readonly #bytesMax: number;
  #lastIndexes: Index[] = [];
  #sizes: number[] = [];
  #head = 0;
  #bytes = 0;

  /** `bytesMax` 0 means no limit on bytes. */
  constructor(countMax: number, bytesMax: number) {
    this.#countMax = countMax;
    this.#bytesMax = bytesMax;
  }

  get count(): number {
    return this.#lastIndexes.length - this.#head;
  }

  get full(): boolean {
    return this.count >= this.#countMax || (this.#bytesMax !== 0 && this.#bytes >= this.#bytesMax);
  }

  /** Records a message whose last entry is `lastIndex`. Must not be called when full. */
  add(lastIndex: Index, bytes: number): void {
    assert(!this.full, 'a message was sent although the window is full');
    this.#lastIndexes.push(lastIndex);
    this.#sizes.push(bytes);
    this.#bytes += bytes;
  }

  /** Forgets the messages up to `index`, which the member has acknowledged. */
  freeUpTo(index: Index): void {
    const count = this.#lastIndexes.length;
    while (this.#head < count && (this.#lastIndexes[this.#head] as Index) <= index) {
      this.#bytes -= this.#sizes[this.#head] as number;
      this.#head++;
    }
    if (this.#head === count) this.reset();
    else if (this.#head >= SHRINK_AFTER && this.#head * 2 >= count) this.#shrink();
  }

  reset(): void {
    this.#lastIndexes = [];
    this.#sizes = [];
    this.#head = 0;
    this.#bytes = 0;
  }

  #shrink(): void {
    this.#lastIndexes = this.#lastIndexes.slice(this.#head);
    this.#sizes = this.#sizes.slice(this.#head);
    this.#head = 0;
  }
}
