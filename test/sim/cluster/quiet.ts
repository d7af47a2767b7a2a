/** For how long all has been as it shall be without moving. What was before its beginning does not count. */
export class Quiet {
  #sinceMs: number;
  #changes = 0;

  constructor(nowMs: number) {
    this.#sinceMs = nowMs;
  }

  /** @param changes counts what moved so far */
  lasts(nowMs: number, changes: number, isRight: boolean): number {
    if (changes !== this.#changes || !isRight) this.#sinceMs = nowMs;
    this.#changes = changes;
    return nowMs - this.#sinceMs;
  }
}
