import type { Command, TableListing } from 'vxlan-netlink';
import type { Namespace } from './kernel/kernel.ts';
import { diffRulesets, type Ruleset, replaceTable, type Transaction } from './ruleset.ts';

/**
 * What leads from one ruleset to another, shared by all namespaces that make the same step: encoded once, replayed. Neither
 * ruleset is kept by it: a ruleset that kept the one before would keep all since the agent began.
 */
const steps = new WeakMap<Ruleset, WeakMap<object, readonly Transaction[]>>();
/** Stands for no ruleset before. */
const NOTHING = {};

function stepTo(after: Ruleset, before: Ruleset | undefined): readonly Transaction[] {
  const known = steps.get(after) ?? new WeakMap<object, readonly Transaction[]>();
  steps.set(after, known);
  const transactions = known.get(before ?? NOTHING) ?? transactionsTo(after, before);
  known.set(before ?? NOTHING, transactions);
  return transactions;
}

function transactionsTo(after: Ruleset, before: Ruleset | undefined): readonly Transaction[] {
  if (before === undefined) return [replaceTable(after)];
  if (after.step === undefined) return [diffRulesets(before, after)];
  return after.step.from === before.token ? after.step.transactions : [replaceTable(after)];
}

/** Our nf_tables tables of one namespace, and what the kernel was last told about them. */
export class AppliedRulesets {
  readonly #namespace: Namespace;
  readonly #tables = new Map<string, Ruleset>();
  /** What the kernel listed when nobody else had touched it; dropped when we change chains or rules. */
  readonly #digests = new Map<string, string>();
  #generation: number | undefined;
  /** Somebody else changed tables of the namespace, maybe ours. */
  #isForeign = false;

  constructor(namespace: Namespace) {
    this.#namespace = namespace;
  }

  apply(ruleset: Ruleset): void {
    const before = this.#tables.get(ruleset.table);
    if (before === ruleset) return;
    try {
      for (const transaction of stepTo(ruleset, before)) this.#change(ruleset.table, transaction);
    } catch (error) {
      if (before === undefined) throw error;
      // Someone changed the table since: put it in place as a whole.
      this.#change(ruleset.table, replaceTable(ruleset));
    }
    this.#tables.set(ruleset.table, ruleset);
  }

  /**
   * As `apply`, but leaves the table alone that an agent before put there, with what its rules noted.
   * @returns whether that was so
   */
  adopt(ruleset: Ruleset): boolean {
    const { table } = ruleset;
    if (!this.#tables.has(table) && this.#isIntact(ruleset)) {
      this.#tables.set(table, ruleset);
      this.#generation ??= this.#namespace.generation();
      return true;
    }
    this.apply(ruleset);
    return false;
  }

  /** Nobody else changed any table of the namespace since our first change. */
  get isOurs(): boolean {
    return !this.#isForeign && this.#namespace.generation() === this.#generation;
  }

  remove(table: string): void {
    if (this.#tables.has(table)) this.discard(table);
  }

  /** Also a table that an agent before put there. */
  discard(table: string): void {
    this.#tables.delete(table);
    this.#digests.delete(table);
    this.commit([
      { do: 'add-table', table },
      { do: 'delete-table', table },
    ]);
  }

  /** A change to what rules noted in one of our tables. */
  commit(commands: Transaction): void {
    if (commands.length === 0) return;
    const before = this.#generation;
    const after = this.#namespace.commit(commands);
    // A foreign transaction in between must still be seen by the next repair.
    if (before === undefined || after <= before + 1) this.#generation = after;
    else this.#isForeign = true;
  }

  /**
   * Reads back what somebody may have changed and puts it right. Cheap when nothing happened: the kernel counts
   * transactions, and only a count that we do not know makes us look.
   * @returns names of the tables that had to be replaced
   */
  repair(): readonly string[] {
    if (this.#tables.size === 0) return [];
    if (this.#namespace.generation() === this.#generation) {
      this.#remember();
      return [];
    }
    this.#isForeign = true;
    const broken = this.#broken();
    for (const ruleset of broken) this.#change(ruleset.table, replaceTable(ruleset));
    this.#generation = this.#namespace.generation();
    return broken.map((ruleset) => ruleset.table);
  }

  /** Names of the tables that `repair` would replace. */
  broken(): readonly string[] {
    return this.#broken().map((ruleset) => ruleset.table);
  }

  #broken(): readonly Ruleset[] {
    return [...this.#tables.values()].filter((ruleset) => !this.#isIntact(ruleset));
  }

  #remember(): void {
    for (const table of this.#tables.keys()) {
      if (this.#digests.has(table)) continue;
      const digest = this.#namespace.digestTable(table);
      if (digest !== undefined) this.#digests.set(table, digest);
    }
  }

  /** By every byte of its rules when it was seen intact before, otherwise by their number; and by the members of its sets. */
  #isIntact(ruleset: Ruleset): boolean {
    const listing = this.#namespace.listTable(ruleset.table);
    if (listing === undefined) return false;
    const digest = this.#digests.get(ruleset.table);
    const hasRules =
      digest === undefined ? holdsChains(listing, ruleset) : listing.digest === digest;
    return hasRules && ruleset.sets.every((set) => holdsSet(listing, set));
  }

  /** Members come and go all the time, which costs no look at the rules. */
  #change(table: string, commands: Transaction): void {
    this.commit(commands);
    if (!commands.every(isAboutMembers)) this.#digests.delete(table);
  }
}

function isAboutMembers(command: Command): boolean {
  return command.do === 'add-elements' || command.do === 'delete-elements';
}

/** Whether the kernel's table has as many chains and rules as the ruleset asks for. */
function holdsChains(listing: TableListing, ruleset: Ruleset): boolean {
  if (listing.chains.length !== ruleset.chains.length) return false;
  return ruleset.chains.every((chain) => listing.ruleCounts.get(chain.name) === chain.rules.length);
}

function holdsSet(listing: TableListing, set: Ruleset['sets'][number]): boolean {
  const members = listing.sets.get(set.name);
  if (members !== undefined && set.shape.grows !== undefined) return true;
  if (members === undefined || members.length !== set.elements.length) return false;
  const have = new Set(members.map(({ key, value, chain }) => `${key} ${value} ${chain}`));
  return set.elements.every(({ key, value, verdict }) => {
    const chain = verdict !== undefined && 'chain' in verdict ? verdict.chain : '';
    return have.has(`${key.toString('hex')} ${value?.toString('hex') ?? ''} ${chain}`);
  });
}
