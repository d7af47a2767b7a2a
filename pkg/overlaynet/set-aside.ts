import {
  type Connection,
  encodeAddress,
  type RuleExpression,
  type SetElement,
} from 'vxlan-netlink';
import type { AppliedRulesets } from './applied-rulesets.ts';
import { loadDestination, loadSource, matchProtocol, portBytes } from './expression.ts';
import { type Family, IPV4, IPV6 } from './family.ts';
import { LEAVING_TABLE } from './name.ts';
import type { Chain, Ruleset } from './ruleset.ts';

/** Before connection tracking looks a packet up. */
const PRIORITY_RAW = -300;

/** Who asks whom, by address and port, as the client sent it. */
interface Question {
  readonly element: SetElement;
  readonly family: Family;
  /** Flows that wait for their answers under this question. */
  readonly waiting: number;
}

/**
 * UDP flows of one namespace that take answers but no more questions. The questions of each are looked up in another
 * zone of connection tracking, where the kernel finds nothing and chooses a backend anew; answers still find the flow
 * that they belong to. The table is there only while there are such flows.
 */
export class SetAside {
  readonly #rulesets: AppliedRulesets;
  #questions: ReadonlyMap<string, Question> = new Map();

  constructor(rulesets: AppliedRulesets) {
    this.#rulesets = rulesets;
  }

  /** @param zone none that a flow with one of these questions is in */
  add(flows: readonly Connection[], zone: number): void {
    const next = new Map(this.#questions);
    for (const flow of flows) {
      const name = nameOf(flow);
      next.set(name, {
        element: { key: keyOf(flow), value: zoneBytes(zone) },
        family: familyOf(flow),
        waiting: (next.get(name)?.waiting ?? 0) + 1,
      });
    }
    this.#apply(next);
  }

  /** Their questions take the ordinary way again. */
  remove(flows: readonly Connection[]): void {
    const next = new Map(this.#questions);
    for (const name of flows.map(nameOf)) {
      const known = next.get(name);
      if (known === undefined) continue;
      if (known.waiting > 1) next.set(name, { ...known, waiting: known.waiting - 1 });
      else next.delete(name);
    }
    this.#apply(next);
  }

  #apply(questions: ReadonlyMap<string, Question>): void {
    for (const family of [IPV4, IPV6]) {
      const all = [...questions.values()].filter((question) => question.family === family);
      if (all.length > 0) this.#rulesets.apply(leavingRuleset(all, family));
      else this.#rulesets.remove(family.tableOf(LEAVING_TABLE));
    }
    this.#questions = questions;
  }
}

function leavingRuleset(questions: readonly Question[], family: Family): Ruleset {
  const { keyType } = family;
  // Addresses and ports side by side from register 1 on: numbers from 8 count quarters of registers.
  const destination = 8 + family.length / 4;
  const ports = destination + family.length / 4;
  const rule: readonly RuleExpression[] = [
    ...matchProtocol('udp'),
    loadSource(8, family),
    loadDestination(family, destination),
    { kind: 'payload', base: 'transport', offset: 0, length: 2, target: ports },
    { kind: 'payload', base: 'transport', offset: 2, length: 2, target: ports + 1 },
    { kind: 'lookup', set: 'questions', source: 8, target: 8 },
    { kind: 'ct-original-zone-set', source: 8 },
  ];
  const chain = (hook: 'prerouting' | 'output'): Chain => ({
    name: hook,
    hook: { type: 'filter', hook, priority: PRIORITY_RAW },
    rules: [rule],
  });
  return {
    table: family.tableOf(LEAVING_TABLE),
    sets: [
      {
        name: 'questions',
        shape: { key: [keyType, keyType, 'port', 'port'], value: ['zone'] },
        elements: questions.map(({ element }) => element),
      },
    ],
    chains: [chain('prerouting'), chain('output')],
  };
}

function familyOf({ source }: Connection): Family {
  return IPV4.has(source) ? IPV4 : IPV6;
}

function nameOf({ source, originalDestination, ports }: Connection): string {
  return `${source} ${ports?.source} ${originalDestination} ${ports?.destination}`;
}

function keyOf({ source, originalDestination, ports }: Connection): Buffer {
  return Buffer.concat([
    encodeAddress(source),
    encodeAddress(originalDestination),
    portField(ports?.source),
    portField(ports?.destination),
  ]);
}

/** Fields of a key take 4 bytes. */
function portField(port = 0): Buffer {
  return Buffer.concat([portBytes(port), Buffer.alloc(2)]);
}

function zoneBytes(zone: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(zone);
  return bytes;
}
