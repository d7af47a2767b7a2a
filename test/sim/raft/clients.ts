import type { Index } from 'raft-js';
import { refused } from '../../linearizable/checker.ts';
import {
  namedRegister,
  type RegisterInput,
  type RegisterOutput,
} from '../../linearizable/named-register.ts';
import { Violation } from './checker.ts';
import { encodeCall } from './machine.ts';
import type { Member } from './member.ts';
import type { Random } from './random.ts';
import type { Schedule } from './schedule.ts';

const NAMES = 6;

/** What a client hears, unless its node crashes first, and the index of the state that it was answered from. */
export type Answer = (output: RegisterOutput, index: Index) => void;

interface Call {
  readonly input: RegisterInput;
  readonly calledAt: number;
  returnedAt: number;
  output: RegisterOutput | undefined;
  /** Where it took effect in the log; a read comes after what is written there. */
  index: Index | undefined;
}

/** Who uses the group, and what they are told. The order of the log must explain all of it, in real time too. */
export class Clients {
  readonly #random: Random;
  readonly #schedule: Schedule;
  readonly #calls: Call[] = [];
  /** The write that each entry of the log holds, by index. */
  readonly #written = new Map<Index, Call>();
  /** The newest text that anybody was shown: what it takes to replace it. */
  readonly #shown = new Map<string, string>();

  constructor(random: Random, schedule: Schedule) {
    this.#random = random;
    this.#schedule = schedule;
  }

  /** @returns whether it was answered, at any time later */
  write(member: Member): () => boolean {
    const id = this.#calls.length;
    const [name, text] = [`n${this.#random.below(NAMES)}`, `t${id}`];
    const expected = this.#shown.get(name);
    const input =
      expected === undefined || this.#random.chance(0.1)
        ? ({ kind: 'create', name, text } as const)
        : ({ kind: 'swap', name, expected, text } as const);
    const call = this.#open(input);
    member.calls.set(id, (output, index) => {
      if (output.kind === 'done') this.#shown.set(name, text);
      this.#close(call, output, index);
    });
    if (!member.use((node) => node.propose(encodeCall(id, input)))) member.calls.delete(id);
    return (): boolean => call.output !== undefined;
  }

  read(member: Member): void {
    const name = `n${this.#random.below(NAMES)}`;
    const call = this.#open({ kind: 'read', name });
    member.read(name, (output, index) => {
      if (output.kind === 'found') this.#shown.set(name, output.text);
      this.#close(call, output, index);
    });
  }

  /** Some node applied the entry of a call. */
  applied(id: number, index: Index): void {
    const call = this.#calls[id];
    if (call === undefined) throw new Violation(`nobody made call ${id}, applied at ${index}`);
    this.#written.set(index, call);
    // A message that came twice may have made two entries; the answer says which one counts.
    if (call.output === undefined) call.index = Math.min(index, call.index ?? index);
  }

  /** @throws Violation when somebody was told what a single copy could not have said */
  judge(): void {
    this.#judgeOutputs();
    this.#judgeTime();
  }

  /** Every answer is what the log says. */
  #judgeOutputs(): void {
    const texts = new Map<string, string | undefined>();
    for (const { index, call } of this.#byLog()) {
      const { name } = call.input;
      const output = call.index === index ? call.output : undefined;
      const next = namedRegister.step(texts.get(name), call.input, output);
      if (next !== refused) texts.set(name, next);
      else if (output) throw new Violation(`wrong answer: ${describe(call)}`);
    }
  }

  /** Entries, and behind each of them the reads that saw nothing newer. */
  #byLog(): readonly { readonly index: Index; readonly call: Call }[] {
    const reads = this.#calls.filter(({ input, output }) => input.kind === 'read' && output);
    return [
      ...[...this.#written].map(([index, call]) => ({ index, call })),
      ...reads.map((call) => ({ index: call.index ?? 0, call })),
    ].sort((left, right) => place(left.call, left.index) - place(right.call, right.index));
  }

  /** What was called after another call had returned comes behind it in the log. */
  #judgeTime(): void {
    const placed = this.#calls
      .filter(({ index }) => index !== undefined)
      .sort((left, right) => place(right) - place(left) || right.calledAt - left.calledAt);
    let [first] = placed;
    for (const call of placed) {
      if (first === undefined || first.returnedAt > call.returnedAt) first = call;
      if (first.returnedAt >= call.calledAt) continue;
      throw new Violation(`stale: ${describe(call)} after ${describe(first)}`);
    }
  }

  #open(input: RegisterInput): Call {
    const call: Call = {
      input,
      calledAt: this.#schedule.now,
      returnedAt: Number.POSITIVE_INFINITY,
      output: undefined,
      index: undefined,
    };
    this.#calls.push(call);
    return call;
  }

  #close(call: Call, output: RegisterOutput, index: Index): void {
    call.output = output;
    call.returnedAt = this.#schedule.now;
    call.index = index;
  }
}

function place({ input, index }: Call, at = index ?? 0): number {
  return 2 * at + (input.kind === 'read' ? 1 : 0);
}

function describe({ input, output, calledAt, returnedAt, index }: Call): string {
  const when = `[${calledAt.toFixed(2)}, ${returnedAt.toFixed(2)}] at ${index}`;
  return `${JSON.stringify(input)} -> ${JSON.stringify(output)} ${when}`;
}
