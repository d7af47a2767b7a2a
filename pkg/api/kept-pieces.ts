/** The text of these is the same as long as the objects are: stored ones never change, they are replaced. */
interface Piece<T, S> {
  readonly items: readonly T[];
  /** What else the text shows, and what it was then. */
  readonly sources: ReadonlyMap<S, unknown>;
  readonly bytes: Uint8Array;
}

export interface PieceRendering<T, S> {
  /** One object as JSON text. */
  readonly text: (item: T) => string;
  /** Names of the other objects that the text shows; the same ones are equal as keys of a map. */
  readonly sources: (item: T) => Iterable<S>;
  /** What such a name stands for now. */
  readonly read: (source: S) => unknown;
}

/** Pieces end where the id of the next object says so: one that is gone shifts no others into other pieces. */
const PIECE_ITEMS = 128;
/** Rendering more at once would hold up the event loop. */
const PIECE_ITEMS_MAX = 192;
/** What nobody asks for is not kept. */
const KEPT_MS = 10_000;

/**
 * Long lists that are asked for again and again, in pieces of about a hundred objects as they were sent. A piece is made
 * anew when one of its objects changed; comparing costs a hundredth of rendering.
 */
export class KeptPieces<T extends { readonly id: string }, S> {
  #pieces = new WeakMap<T, Piece<T, S>>();
  #timer: NodeJS.Timeout | undefined;

  /** The list as JSON objects, each after a comma, piece by piece. */
  *of(items: readonly T[], rendering: PieceRendering<T, S>): Iterable<Uint8Array> {
    this.#keep();
    for (let at = 0; at < items.length; ) {
      const first = items[at] as T;
      const known = this.#pieces.get(first);
      const piece =
        known && isSame(known, items, at, rendering) ? known : make(items, at, rendering);
      if (piece !== known) this.#pieces.set(first, piece);
      at += piece.items.length;
      yield piece.bytes;
    }
  }

  #keep(): void {
    if (this.#timer) this.#timer.refresh();
    else this.#timer = setTimeout(() => this.#forget(), KEPT_MS).unref();
  }

  #forget(): void {
    this.#timer = undefined;
    this.#pieces = new WeakMap();
  }
}

function isSame<T, S>(
  { items: kept, sources }: Piece<T, S>,
  items: readonly T[],
  begin: number,
  { read }: PieceRendering<T, S>,
): boolean {
  for (const [at, item] of kept.entries()) if (items[begin + at] !== item) return false;
  for (const [source, was] of sources) if (read(source) !== was) return false;
  return true;
}

function make<T extends { readonly id: string }, S>(
  items: readonly T[],
  begin: number,
  { text, sources, read }: PieceRendering<T, S>,
): Piece<T, S> {
  const end = pieceEnd(items, begin);
  const part = items.slice(begin, end);
  const shown = new Map<S, unknown>();
  let json = '';
  for (const item of part) {
    for (const source of sources(item)) if (!shown.has(source)) shown.set(source, read(source));
    json += `,${text(item)}`;
  }
  return { items: part, sources: shown, bytes: Buffer.from(json) };
}

function pieceEnd<T extends { readonly id: string }>(items: readonly T[], begin: number): number {
  const last = Math.min(items.length, begin + PIECE_ITEMS_MAX);
  for (let at = begin + 1; at < last; at++) if (beginsPiece((items[at] as T).id)) return at;
  return last;
}

/** One of PIECE_ITEMS random ids. */
function beginsPiece(id: string): boolean {
  const { length } = id;
  const sum =
    id.charCodeAt(length - 1) * 31 + id.charCodeAt(length - 2) * 7 + id.charCodeAt(length - 3);
  return sum % PIECE_ITEMS === 0;
}
