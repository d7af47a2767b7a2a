/** A binary heap: the least by `compare` comes out first. */
export class Heap<T> {
  readonly #items: T[] = [];
  readonly #compare: (left: T, right: T) => number;

  constructor(compare: (left: T, right: T) => number) {
    this.#compare = compare;
  }

  get size(): number {
    return this.#items.length;
  }

  /** The least, left where it is. */
  peek(): T | undefined {
    return this.#items[0];
  }

  push(item: T): void {
    let at = this.#items.length;
    this.#items.push(item);
    while (at > 0) {
      const parent = Math.floor((at - 1) / 2);
      if (!this.#swapIfLess(at, parent)) return;
      at = parent;
    }
  }

  pop(): T | undefined {
    const [first] = this.#items;
    const last = this.#items.pop();
    if (last === undefined || this.#items.length === 0) return first;
    this.#items[0] = last;
    this.#sink();
    return first;
  }

  #sink(): void {
    let at = 0;
    while (true) {
      const left = at * 2 + 1;
      const child = this.#less(left + 1, left) ? left + 1 : left;
      if (!this.#swapIfLess(child, at)) return;
      at = child;
    }
  }

  #less(left: number, right: number): boolean {
    const a = this.#items[left];
    const b = this.#items[right];
    return a !== undefined && b !== undefined && this.#compare(a, b) < 0;
  }

  #swapIfLess(child: number, parent: number): boolean {
    const a = this.#items[child];
    const b = this.#items[parent];
    if (a === undefined || b === undefined || this.#compare(a, b) >= 0) return false;
    this.#items[child] = b;
    this.#items[parent] = a;
    return true;
  }
}
