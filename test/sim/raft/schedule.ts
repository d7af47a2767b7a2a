interface Event {
  readonly time: number;
  readonly order: number;
  readonly run: () => void;
}

/** A virtual clock: runs what was planned in order of time, and in order of planning at the same time. */
export class Schedule {
  now = 0;
  readonly #heap: Event[] = [];
  #planned = 0;

  after(delay: number, run: () => void): void {
    this.#push({ time: this.now + delay, order: this.#planned++, run });
  }

  /** Runs everything planned before `time`. */
  runUntil(time: number): void {
    for (;;) {
      const first = this.#heap[0];
      if (first === undefined || first.time >= time) break;
      this.#pop();
      this.now = first.time;
      first.run();
    }
    this.now = time;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as Event;
      if (!before(event, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Event;
    const count = heap.length;
    if (count === 0) return;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= count) break;
      if (child + 1 < count && before(heap[child + 1] as Event, heap[child] as Event)) child++;
      if (!before(heap[child] as Event, last)) break;
      heap[at] = heap[child] as Event;
      at = child;
    }
    heap[at] = last;
  }
}

function before(a: Event, b: Event): boolean {
  return a.time < b.time || (a.time === b.time && a.order < b.order);
}
