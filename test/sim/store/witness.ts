import { createHash } from 'node:crypto';
import type { Batch, Store } from '../../../pkg/store/index.ts';

/** Object id and version of everything that a reader knows. */
export type Copy = ReadonlyMap<string, number>;

/**
 * Sees every entry on every member, and compares: it must do the same to all of them, and what they hold after it must be
 * the same. So an entry that did nothing on one member is noticed with the next.
 */
export class Witness {
  readonly #effects = new Map<number, string>();
  readonly #contents = new Map<number, number>();
  /** The newest stamp that each member was told of, and where. */
  readonly #stamps = new Map<number, Pick<Batch, 'index' | 'now'>>();
  /** The newest write that somebody was told is done, by the term at who told it. */
  readonly #acknowledged = new Map<number, number>();

  /** `member` applied an entry with effects, or took in a snapshot. */
  saw(member: number, batch: Batch, store: Store): void {
    const { index, changes, reset } = batch;
    this.#stamped(member, batch);
    const content = digest(copyOf(store));
    if (reset) {
      this.holds(`member ${member} after a snapshot`, index, content);
      return;
    }
    const effect = createHash('sha1').update(JSON.stringify(changes)).digest('base64');
    const known = this.#effects.get(index) ?? effect;
    this.#effects.set(index, known);
    if (known !== effect) throw new Error(`entry ${index} did something else on member ${member}`);
    if (this.#contents.has(index)) this.holds(`member ${member}`, index, content);
    else this.#contents.set(index, content);
  }

  acknowledged(index: number, { term }: Store): void {
    this.#acknowledged.set(term, Math.max(index, this.#acknowledged.get(term) ?? 0));
  }

  /** A leader that starts to decide must have everything that was acknowledged in earlier terms. */
  leads(member: number, { view, term }: Store): void {
    for (const [told, index] of this.#acknowledged) {
      if (told >= term || view.index >= index) continue;
      throw new Error(`member ${member} leads at ${view.index}, but ${index} was acknowledged`);
    }
  }

  /** What `who` has at `index` is what the others had there, as far as it was seen. */
  holds(who: string, index: number, content: number): void {
    let at = 0;
    for (const seen of this.#contents.keys()) if (seen <= index && seen > at) at = seen;
    const known = this.#contents.get(at);
    if (known === undefined || known === content) return;
    throw new Error(`${who} has something else at ${index} than others had behind entry ${at}`);
  }

  #stamped(member: number, { index, now }: Batch): void {
    const before = this.#stamps.get(member);
    this.#stamps.set(member, { index, now });
    if (before === undefined || before.index > index || before.now <= now) return;
    throw new Error(`time went back to ${now} with entry ${index} on member ${member}`);
  }
}

export function copyOf({ view }: Store): Map<string, number> {
  const copy = new Map<string, number>();
  for (const { id, version } of view.list('config')) copy.set(id, version);
  return copy;
}

/** The same in whatever order. */
export function digest(copy: Copy): number {
  let sum = 0;
  for (const [id, version] of copy) {
    let hash = 0x811c9dc5 ^ version;
    for (let at = 0; at < id.length; at++) {
      hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193);
    }
    sum = (sum + hash) | 0;
  }
  return sum;
}
