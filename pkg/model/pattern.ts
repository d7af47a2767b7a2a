/**
 * Regular expressions that cannot take long: the leader matches them against every node. A pattern maps the set of
 * positions where a match may be to the set where it may end, so nothing is tried twice; what the usual engines need
 * to go back for (back references, look-around) does not exist. Case does not count.
 */
export interface Pattern {
  /** Anywhere in the text, unless the pattern says `^` or `$`. Only the first 256 characters count. */
  matches(text: string): boolean;
}

type Positions = ReadonlySet<number>;
type Step = (text: string, from: Positions) => Positions;

const PATTERN_MAX = 200;
const TEXT_MAX = 256;
const REPEATS_MAX = 20;
/** Repetitions within repetitions: each multiplies the time. */
const NESTING_MAX = 2;

/** The pattern, or why the text is none. */
export function parsePattern(source: string): Pattern | { readonly error: string } {
  if (source.length > PATTERN_MAX) {
    return { error: `the pattern is longer than ${PATTERN_MAX} characters` };
  }
  const parsed = new Parser(source).parse();
  if (typeof parsed === 'string') return { error: `'${source}' is no pattern: ${parsed}` };
  return {
    matches: (text): boolean => {
      const cut = text.slice(0, TEXT_MAX);
      const anywhere = new Set(Array.from({ length: cut.length + 1 }, (_, at) => at));
      return parsed(cut, anywhere).size > 0;
    },
  };
}

class SyntaxProblem extends Error {}

class Parser {
  readonly #source: string;
  #at = 0;
  #nesting = 0;

  constructor(source: string) {
    this.#source = source;
  }

  parse(): Step | string {
    try {
      const step = this.#alternatives();
      return this.#at < this.#source.length ? 'a ) has no (' : step;
    } catch (error) {
      if (error instanceof SyntaxProblem) return error.message;
      throw error;
    }
  }

  #alternatives(): Step {
    const branches = [this.#sequence()];
    while (this.#eat('|')) branches.push(this.#sequence());
    return (text, from): Positions =>
      new Set(branches.flatMap((branch) => [...branch(text, from)]));
  }

  #sequence(): Step {
    const steps: Step[] = [];
    while (this.#at < this.#source.length && !'|)'.includes(this.#peek())) {
      steps.push(this.#repeated());
    }
    return (text, from): Positions =>
      steps.reduce((positions, step) => step(text, positions), from);
  }

  #repeated(): Step {
    const before = this.#nesting;
    this.#nesting = 0;
    const step = this.#atom();
    const found = /^(?:([*+?])|\{(\d+)(,?)(\d*)\})/.exec(this.#source.slice(this.#at));
    const inner = this.#nesting + (found && found[1] !== '?' ? 1 : 0);
    this.#nesting = Math.max(before, inner);
    if (inner > NESTING_MAX) throw new SyntaxProblem('too many repetitions of repetitions');
    if (!found) return step;
    this.#at += found[0].length;
    const [least, most] = bounds(found);
    if (least > REPEATS_MAX || (most !== undefined && (most > REPEATS_MAX || most < least))) {
      throw new SyntaxProblem(`${found[0]} is not between 0 and ${REPEATS_MAX} times`);
    }
    return repeat(step, least, most);
  }

  #atom(): Step {
    if (this.#eat('(')) {
      if (this.#eat('?') && !this.#eat(':')) throw new SyntaxProblem('(? is not known');
      const step = this.#alternatives();
      if (!this.#eat(')')) throw new SyntaxProblem('a ( is not closed');
      return step;
    }
    if (this.#eat('^'))
      return (_text, from): Positions => new Set([...from].filter((at) => at === 0));
    if (this.#eat('$'))
      return (text, from): Positions => new Set([...from].filter((at) => at === text.length));
    const [one] =
      /^(?:\[\^?\]?(?:\\.|[^\]\\])*\]|\\.|[^*+?{}[\]()\\])/.exec(this.#source.slice(this.#at)) ??
      [];
    if (one === undefined) throw new SyntaxProblem(`${this.#peek() || 'its end'} is not expected`);
    this.#at += one.length;
    return character(one);
  }

  #peek(): string {
    return this.#source[this.#at] ?? '';
  }

  #eat(wanted: string): boolean {
    if (this.#peek() !== wanted) return false;
    this.#at += 1;
    return true;
  }
}

/** Least and most times; most is absent for no limit. */
function bounds([, sign, low, comma, high]: RegExpExecArray): readonly [
  number,
  number | undefined,
] {
  if (sign === '?') return [0, 1];
  if (sign !== undefined) return [sign === '+' ? 1 : 0, undefined];
  const least = Number(low);
  if (comma === '') return [least, least];
  return [least, high === '' ? undefined : Number(high)];
}

function repeat(step: Step, least: number, most: number | undefined): Step {
  return (text, from): Positions => {
    let positions = from;
    for (let count = 0; count < least; count++) positions = step(text, positions);
    const reached = new Set(positions);
    for (let count = least; count < (most ?? Number.POSITIVE_INFINITY); count++) {
      positions = new Set([...step(text, positions)].filter((at) => !reached.has(at)));
      if (positions.size === 0) break;
      for (const at of positions) reached.add(at);
    }
    return reached;
  };
}

/** One character, a class, or an escape; the language's own engine says which characters that is. */
function character(source: string): Step {
  if (/^\\[0-9bBkpPux]/.test(source)) throw new SyntaxProblem(`${source} is not known`);
  let one: RegExp;
  try {
    one = new RegExp(`^${source}$`, 'i');
  } catch (cause) {
    throw new SyntaxProblem(`${source} is not a class of characters`, { cause });
  }
  return (text, from): Positions =>
    new Set([...from].filter((at) => one.test(text.charAt(at))).map((at) => at + 1));
}
