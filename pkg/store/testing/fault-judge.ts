import { ClusterError } from '../../model/index.ts';
import { type Found, type Life, recoverFrom } from './fault-scenario.ts';
import { type DiskImage, JournalDisk, powerFailures, type Survival } from './journal-disk.ts';

const SECTOR_BYTES = 512;
const PAGE_BYTES = 4096;
const DRAWN = 2;
const REFUSAL = /\/(wal|snap)\b.* damaged at offset \d+.*join again/;

export const NOTHING: Survival = { names: () => 0, sector: () => false };
export const EVERYTHING: Survival = { names: (count) => count, sector: () => true };

/** Recovers from broken disks, and holds what it finds against what was promised. */
export class FaultJudge {
  /** Of recoveries: found exactly what was promised, found more that was written, refused with a reason. */
  readonly counts = { exact: 0, more: 0, refused: 0 };
  /** A sweep takes only every so many bytes, from a different beginning in each file. */
  readonly #stride: number;
  #last: { readonly life: Life; readonly after: ReturnType<typeof powerFailures> } | undefined;

  constructor(stride: number) {
    this.#stride = stride;
  }

  get report(): string {
    const { exact, more, refused } = this.counts;
    const total = exact + more + refused;
    return `${total} cases: ${exact} exactly what was promised, ${more} more that was written, ${refused} refused`;
  }

  /** @throws Error unless all that was promised is there and nothing else than what was written, or a refusal that helps */
  async judge(life: Life, image: DiskImage, operations: number, what: string): Promise<void> {
    let found: Found;
    try {
      found = await recoverFrom(life, new JournalDisk(image));
    } catch (error) {
      if (!(error instanceof ClusterError) || !REFUSAL.test(error.message)) {
        throw new Error(`${what}: the refusal does not help`, { cause: error });
      }
      this.counts.refused++;
      return;
    }
    const promised = life.promised.filter((each) => each.operations <= operations);
    const index = Math.max(0, ...promised.map((each) => each.index));
    const term = Math.max(0, ...promised.map((each) => each.term));
    if (found.index < index || found.term < term) {
      throw new Error(
        `${what}: entry ${found.index} in term ${found.term}, promised ${index} in ${term}`,
      );
    }
    const written = life.written.filter((each) => each.index <= found.index);
    const names = written.map((each) => each.name);
    if (life.inFlight && found.names.length > names.length) names.push(life.inFlight);
    if (names.join() !== found.names.join()) {
      throw new Error(`${what}: content is ${found.names} instead of ${names}`);
    }
    if (found.index === index) this.counts.exact++;
    else this.counts.more++;
  }

  /** Zeros in each sector and page, a cut at each byte, a bit flipped in each byte, of each file. */
  async damageEverywhere(life: Life): Promise<void> {
    let beginning = 0;
    for (const [path, content] of life.image) {
      const judge = (changed: Uint8Array, what: string): Promise<void> =>
        this.judge(life, new Map([...life.image, [path, changed]]), life.journal.length, what);
      // Behind what is used are the zeros of preallocation.
      const used = content.findLastIndex((byte) => byte !== 0) + 1;
      const end = Math.min(content.length, used + SECTOR_BYTES);
      for (const size of [SECTOR_BYTES, PAGE_BYTES]) {
        for (let at = 0; at < end; at += size) {
          await judge(content.slice().fill(0, at, at + size), `${path}: zeros at ${at}`);
        }
      }
      for (let at = beginning++ % this.#stride; at < end; at += this.#stride) {
        await judge(content.slice(0, at), `${path}: cut at ${at}`);
        const copy = content.slice();
        copy[at] = (copy[at] ?? 0) ^ (1 << (at % 8));
        await judge(copy, `${path}: bit flipped in ${at}`);
      }
    }
  }

  /** Power fails after each operation of the disk. */
  async failEverywhere(life: Life): Promise<void> {
    for (let count = 0; count <= life.journal.length; count++) await this.failAfter(life, count);
  }

  /** Power fails after that many operations, with more and less surviving. */
  async failAfter(life: Life, count = life.journal.length): Promise<void> {
    const after = this.#failures(life);
    const survivals = [NOTHING, EVERYTHING, ...Array.from({ length: DRAWN }, (_, at) => drawn(at))];
    for (const [at, survival] of survivals.entries()) {
      const what = `power failure after ${count} operations, survival ${at}`;
      await this.judge(life, after(count, survival), count, what);
    }
  }

  #failures(life: Life): ReturnType<typeof powerFailures> {
    if (this.#last?.life !== life) this.#last = { life, after: powerFailures(life.journal) };
    return this.#last.after;
  }
}

/** Seeded: a failing case can be repeated. */
function drawn(seed: number): Survival {
  let state = seed * 2_654_435_761 + 1;
  const next = (): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return { names: (count) => Math.floor(next() * (count + 1)), sector: () => next() < 0.5 };
}
