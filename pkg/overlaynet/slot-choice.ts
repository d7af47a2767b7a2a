import type { RuleExpression, SetElement } from 'vxlan-netlink';
import {
  hostOrder,
  loadDestination,
  loadSource,
  matchNewConnection,
  matchProtocol,
} from './expression.ts';
import type { Family } from './family.ts';
import { heirRules } from './heirs.ts';
import type { Chain } from './ruleset.ts';

/*
 * The rules of `VirtualIps` that no service has for itself: how one of so many slots is chosen, and what leads there.
 */
const PRIORITY_DNAT = -100;
/**
 * Services with the same number of slots share this many round-robin counters: two of them that a client asks in turn
 * would otherwise always get the same slots.
 */
const COUNTERS = 64;
/** Clients begin a round in this many places at most: all that keep one connection would else share the first slot. */
const STARTS = 8;
/** Turns of one number of slots: more than that and fewer places are begun in. */
const TURNS_MAX = 4_096;
/** Choices by the client's address have numbers from here on, those in turn below. */
const STICKY = 2 ** 31;

/** A way to choose among a number of slots: the number that VIPs are mapped to, and the chain that it leads to. */
export interface Choice {
  readonly number: Buffer;
  readonly chain: Chain;
}

/** What services with equally many slots share: a choice, or the rounds that it goes through. */
export interface SharedPart {
  readonly name: string;
  readonly choice?: Choice;
  readonly turns?: readonly SetElement[];
}

/** The part of that name, made when there is none yet: one for all services, not one for each. */
export type Share = <Part extends SharedPart>(name: string, make: () => Part) => Part;

/** How one of so many slots of a VIP is chosen, and what else that needs. */
export function choiceAmong(
  slots: number,
  {
    sticky,
    vip,
    family,
    share,
  }: {
    readonly sticky: boolean;
    readonly vip: Buffer;
    readonly family: Family;
    readonly share: Share;
  },
): { readonly choice: Choice; readonly shared: readonly SharedPart[] } {
  if (sticky) {
    const name = `client-${slots}`;
    const part = share(name, () => ({ name, choice: stickyChoice(name, slots, family) }));
    return { choice: part.choice, shared: [part] };
  }
  const counter = vip.readUInt32BE(vip.length - 4) % COUNTERS;
  const name = `turn-${slots}-${counter}`;
  const part = share(name, () => ({ name, choice: turnChoice(name, { slots, counter }, family) }));
  const rounds = `turns-${slots}`;
  const hasRounds = startsOf(slots) > 1;
  const turns = hasRounds ? [share(rounds, () => ({ name: rounds, turns: turnsOf(slots) }))] : [];
  return { choice: part.choice, shared: [part, ...turns] };
}

/** Each new connection gets the next slot. */
function turnChoice(
  name: string,
  { slots, counter }: { readonly slots: number; readonly counter: number },
  family: Family,
): Choice {
  const rule = [...nextSlot(slots, family), loadDestination(family), ...TRANSLATE_SLOT];
  return { number: hostOrder(slots * COUNTERS + counter), chain: { name, rules: [rule] } };
}

/** Puts the next slot behind where the VIP goes. */
function nextSlot(slots: number, family: Family): readonly RuleExpression[] {
  const target = secondRegister(family);
  const next = { kind: 'numgen', mode: 'increment', modulus: slots } as const;
  const starts = startsOf(slots);
  if (starts === 1) return [{ ...next, target }];
  const { length } = family;
  const offset = slots * STARTS;
  return [
    loadSource(3, family),
    { kind: 'jhash', source: 3, length, modulus: starts, seed: 0, offset, target: 16 },
    { ...next, target: 17 },
    { kind: 'lookup', set: 'turns', source: 3, target: 18 },
    ...moveByMark(18, target, 19),
  ];
}

function turnsOf(slots: number): readonly SetElement[] {
  const starts = startsOf(slots);
  const turnsFrom = (start: number): readonly SetElement[] => {
    const first = Math.floor((start * slots) / starts);
    return Array.from({ length: slots }, (_, turn) => ({
      key: Buffer.concat([hostOrder(slots * STARTS + start), hostOrder(turn)]),
      value: hostOrder((first + turn) % slots),
    }));
  };
  return Array.from({ length: starts }, (_, start) => turnsFrom(start)).flat();
}

function startsOf(slots: number): number {
  return Math.max(1, Math.min(slots, STARTS, Math.floor(TURNS_MAX / slots)));
}

/** All connections from one address get the same slot. */
function stickyChoice(name: string, slots: number, family: Family): Choice {
  const { length } = family;
  const target = secondRegister(family);
  const hash = { kind: 'jhash', source: 3, length, modulus: slots, seed: 0, target } as const;
  const rule = [loadSource(3, family), hash, loadDestination(family), ...TRANSLATE_SLOT];
  return { number: hostOrder(STICKY + slots), chain: { name, rules: [rule] } };
}

/** Directly behind the VIP, which is in register 1: number 8 is the first quarter of that. */
function secondRegister({ length }: Family): number {
  return 8 + length / 4;
}

const TRANSLATE_SLOT: readonly RuleExpression[] = [
  { kind: 'lookup', set: 'slots', source: 1, target: 1 },
  { kind: 'dnat', address: 1 },
];

/**
 * From one register to another by the packet's mark, which is put back: a map that is asked with what another gave ends the
 * `nft` of Debian 12 when it lists the rules.
 */
function moveByMark(source: number, target: number, spare: number): readonly RuleExpression[] {
  return [
    { kind: 'meta', key: 'mark', target: spare },
    { kind: 'meta-set', key: 'mark', source },
    { kind: 'meta', key: 'mark', target },
    { kind: 'meta-set', key: 'mark', source: spare },
  ];
}

/**
 * The first packet of a connection is judged by the chains as they were when it came in, but each map is asked as it is at
 * that moment. So while the kernel goes over to other rules, a packet may have got a number that leads nowhere
 * any more: it is asked about once more, from the beginning. And it may be led to a chain that is new, which is still empty
 * to it: hence chains come a transaction before what leads to them. Whatever else may happen, nothing goes on to the VIP
 * itself, which nobody has: that would be three seconds of looking for a neighbour, then an error. What is dropped
 * the client sends again.
 */
export function outputChain(family: Family): Chain {
  const number = secondRegister(family);
  const ofVip: readonly RuleExpression[] = [
    loadDestination(family),
    { kind: 'lookup', set: 'vips', source: 1, target: number },
  ];
  const lead: readonly RuleExpression[] = [
    ...ofVip,
    ...moveByMark(number, number, number + 1),
    { kind: 'lookup', set: 'choices', source: number, target: 0 },
  ];
  const refuse: readonly RuleExpression[] = [
    ...ofVip,
    // Only for those who list the rules: a lookup whose answer nobody takes is not shown.
    { kind: 'meta-set', key: 'mark', source: number },
    { kind: 'verdict', verdict: { verdict: 'drop' } },
  ];
  return {
    name: 'output',
    hook: { type: 'nat', hook: 'output', priority: PRIORITY_DNAT },
    rules: [...heirRules(family), lead, lead, refuse],
  };
}

/**
 * Where the VIP of a service without backends leads. Within the NAT hook, which sees only the first packet of a
 * connection: a filter would look at every packet of all. That the connection is new goes without saying, but a rule that
 * asks is what makes the kernel track connections of the family at all, without which the hook sees none.
 */
export const NOBODY_SERVES = {
  name: 'nobody',
  choice: {
    number: hostOrder(0),
    chain: {
      name: 'nobody',
      rules: [
        [...matchNewConnection, ...matchProtocol('tcp'), { kind: 'reject', reply: 'tcp-reset' }],
        [{ kind: 'reject', reply: 'port-unreachable' }],
      ],
    },
  },
} as const satisfies SharedPart;
