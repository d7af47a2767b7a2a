import type { Message, NodeId } from 'raft-js';
import type { Plan } from './plan.ts';
import { TICK } from './plan.ts';
import type { Random } from './random.ts';
import type { Schedule } from './schedule.ts';

export interface Endpoint {
  receive(m: Message): void;
  /** The message did not arrive, as far as a transport can tell. */
  lost(m: Message): void;
  arrived(m: Message): void;
}

const SLOW_SHARE = 0.1;
/** Always the same, so that order is kept. */
const HEALED_DELAY = 1;

/** Carries messages late, twice, in another order or not at all. */
export class Network {
  readonly endpoints = new Map<NodeId, Endpoint>();
  /** After the end of all faults. */
  healed = false;
  /** Changes with every message that is sent. */
  trace = 0;
  readonly #blocked = new Set<string>();
  readonly #plan: Plan;
  readonly #random: Random;
  readonly #schedule: Schedule;

  constructor(plan: Plan, random: Random, schedule: Schedule) {
    this.#plan = plan;
    this.#random = random;
    this.#schedule = schedule;
  }

  send(m: Message): void {
    this.trace = mix(this.trace, m);
    const drop = !this.healed && this.#random.chance(this.#plan.dropRate);
    if (drop || this.#blocked.has(link(m.from, m.to))) {
      this.#lose(m);
      return;
    }
    this.#carry(m);
    if (!this.healed && this.#random.chance(this.#plan.duplicateRate)) this.#carry(m);
  }

  heal(): void {
    this.#blocked.clear();
  }

  /** Cuts a random set of links: a node, a half, one direction, or all but a ring. */
  partition(): void {
    this.heal();
    const ids = [...this.endpoints.keys()];
    const kind = this.#random.below(4);
    const side = new Set(ids.filter(() => this.#random.chance(0.5)));
    const lonely = this.#random.pick(ids);
    const other = this.#random.pick(ids);
    for (const [i, from] of ids.entries()) {
      for (const [j, to] of ids.entries()) {
        const apart = Math.abs(i - j);
        const cut =
          (kind === 0 && (from === lonely) !== (to === lonely)) ||
          (kind === 1 && side.has(from) !== side.has(to)) ||
          (kind === 2 && from === lonely && to === other) ||
          (kind === 3 && apart !== 1 && apart !== ids.length - 1);
        if (cut) this.#blocked.add(link(from, to));
      }
    }
  }

  #carry(m: Message): void {
    const delay = this.healed ? HEALED_DELAY : this.#delay();
    this.#schedule.after(delay, () => {
      this.endpoints.get(m.to)?.receive(m);
      this.endpoints.get(m.from)?.arrived(m);
    });
  }

  #delay(): number {
    const max = this.#plan.delayMax;
    return this.#random.between(0.1, this.#random.chance(SLOW_SHARE) ? max * 5 : max);
  }

  /** A transport notices most losses after a while. */
  #lose(m: Message): void {
    const delay = this.#random.between(1, 3 * TICK);
    this.#schedule.after(delay, () => this.endpoints.get(m.from)?.lost(m));
  }
}

function link(from: NodeId, to: NodeId): string {
  return `${from}>${to}`;
}

function mix(hash: number, m: Message): number {
  const { type, from, to, term = 0, index = 0, commit = 0, entries = [] } = m;
  let mixed = hash;
  for (const part of [type.length, from, to, term, index, commit, entries.length]) {
    mixed = Math.imul(mixed ^ part, 0x01000193) >>> 0;
  }
  return mixed;
}
