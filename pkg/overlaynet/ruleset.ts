import type { ChainHook, Command, RuleExpression, SetElement, SetShape } from 'vxlan-netlink';

export interface Chain {
  readonly name: string;
  readonly hook?: ChainHook | undefined;
  readonly rules: readonly (readonly RuleExpression[])[];
}

export interface NamedSet {
  readonly name: string;
  readonly shape: SetShape;
  readonly elements: readonly SetElement[];
}

/** One nf_tables table as it should be. Chains and sets keep their shape for as long as the table lives. */
export interface Ruleset {
  readonly table: string;
  readonly sets: readonly NamedSet[];
  readonly chains: readonly Chain[];
  /** Stands for this very state. */
  readonly token?: object | undefined;
  /** How to come here from the state that `from` stands for; from any other the table is put in place as a whole. */
  readonly step?:
    | { readonly from: object | undefined; readonly transactions: readonly Transaction[] }
    | undefined;
}

/** Takes effect as a whole or not at all. */
export type Transaction = readonly Command[];

/** Puts a table in place whatever was there before, in one transaction. */
export function replaceTable(ruleset: Ruleset): Transaction {
  const { table } = ruleset;
  return [
    // Adding first makes the deletion succeed when there was none.
    { do: 'add-table', table },
    { do: 'delete-table', table },
    ...diffRulesets(undefined, ruleset),
  ];
}

/**
 * The smallest transaction from one state of a table to the next: chains whose rules differ are refilled, map elements
 * are exchanged, everything else keeps its counters.
 */
export function diffRulesets(before: Ruleset | undefined, after: Ruleset): Transaction {
  const { table } = after;
  const commands: Command[] = before === undefined ? [{ do: 'add-table', table }] : [];
  const oldSets = new Map((before?.sets ?? []).map((set) => [set.name, set]));
  const oldChains = new Map((before?.chains ?? []).map((chain) => [chain.name, chain]));
  for (const { name, shape } of after.sets) {
    if (!oldSets.has(name)) commands.push({ do: 'add-set', table, set: name, shape });
  }
  // All chains before all rules: rules and elements may jump to any of them.
  for (const { name, hook } of after.chains) {
    if (!oldChains.has(name)) commands.push({ do: 'add-chain', table, chain: name, hook });
  }
  for (const chain of after.chains) {
    commands.push(...diffRules(table, oldChains.get(chain.name), chain));
  }
  for (const set of after.sets) commands.push(...diffElements(table, oldSets.get(set.name), set));
  const kept = new Set(after.chains.map((chain) => chain.name));
  const gone = [...oldChains.keys()].filter((name) => !kept.has(name));
  return [...commands, ...gone.map((chain): Command => ({ do: 'delete-chain', table, chain }))];
}

function diffRules(table: string, before: Chain | undefined, after: Chain): readonly Command[] {
  const chain = after.name;
  if (before !== undefined && sameRules(before, after)) return [];
  const flush: readonly Command[] =
    before === undefined ? [] : [{ do: 'flush-chain', table, chain }];
  return [
    ...flush,
    ...after.rules.map((expressions): Command => ({ do: 'add-rule', table, chain, expressions })),
  ];
}

function sameRules(left: Chain, right: Chain): boolean {
  return left === right || JSON.stringify(left.rules) === JSON.stringify(right.rules);
}

function diffElements(
  table: string,
  before: NamedSet | undefined,
  after: NamedSet,
): readonly Command[] {
  const set = after.name;
  const same = new Set(before?.elements);
  const kept = new Set(after.elements.filter((element) => same.has(element)));
  // Elements that are the same object need no look inside.
  const old = byText((before?.elements ?? []).filter((element) => !kept.has(element)));
  const next = byText(after.elements.filter((element) => !kept.has(element)));
  const gone = [...old].filter(([text]) => !next.has(text)).map(([, element]) => element);
  const fresh = [...next].filter(([text]) => !old.has(text)).map(([, element]) => element);
  const commands: Command[] = [];
  if (gone.length > 0) {
    const elements = gone.map(({ key }) => ({ key }));
    commands.push({ do: 'delete-elements', table, set, elements });
  }
  if (fresh.length > 0) commands.push({ do: 'add-elements', table, set, elements: fresh });
  return commands;
}

function byText(elements: readonly SetElement[]): ReadonlyMap<string, SetElement> {
  return new Map(elements.map((element) => [JSON.stringify(element), element]));
}
