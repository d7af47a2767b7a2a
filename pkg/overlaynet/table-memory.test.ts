import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { NetworkTable } from '../model/index.ts';
import { backendsByService } from './backends.ts';
import { IPV4 } from './family.ts';
import { diffRulesets, type Ruleset, type Transaction } from './ruleset.ts';
import { EndpointMemory } from './table-memory.ts';
import { networkTable } from './testing/table.ts';
import { VirtualIps } from './vip.ts';

/** Endpoint by slot: absent, out, or in service of one of three services, on one of two nodes. */
const endpointKind = fc.constantFrom(undefined, 'out', 's0', 's1', 's2');
const tableKinds = fc.record({
  endpoints: fc.array(endpointKind, { minLength: 8, maxLength: 8 }),
  services: fc.subarray(['s0', 's1', 's2']),
});

function tableOf(kinds: {
  readonly endpoints: readonly (string | undefined)[];
  readonly services: readonly string[];
}): NetworkTable {
  const slots = kinds.endpoints.map((kind, at) => ({ kind, at }));
  const table = networkTable({
    endpoints: slots.map(({ kind, at }) => ({
      address: `10.0.1.${at + 10}`,
      node: at % 2,
      out: kind === 'out',
      service: kind === 'out' ? 's0' : (kind ?? 's0'),
    })),
    services: kinds.services.map((name) => ({ name, vip: `10.0.1.10${name.slice(1)}` })),
  });
  const endpoints = table.endpoints.filter((_, at) => kinds.endpoints[at] !== undefined);
  return { ...table, endpoints };
}

const sorted = (lines: readonly unknown[]): readonly string[] =>
  lines.map((line) => JSON.stringify(line)).toSorted();

/** Who served before is nothing that a table alone could tell: `heirs.test.ts`. */
const isAboutNow = (set: string): boolean => !set.startsWith('heir');

const content = ({ sets, chains }: Ruleset): object => ({
  sets: sets
    .filter(({ name }) => isAboutNow(name))
    .map(({ name, elements }) => ({ name, elements: sorted(elements) })),
  chains: sorted(chains),
});

/** The elements of one command may come in any order. */
const steps = (commands: readonly object[]): readonly string[] =>
  sorted(
    commands.map((command) =>
      'elements' in command
        ? { ...command, elements: sorted(command.elements as object[]) }
        : command,
    ),
  );

/** To a packet that the transaction overtakes, a new chain is empty: no VIP may lead to one yet. */
const isSafe = (commands: Transaction): boolean =>
  !commands.some((command) => command.do === 'add-chain') ||
  commands.every((command) => !('set' in command && command.set === 'vips'));

const transactionsOf = (ruleset: Ruleset): readonly Transaction[] =>
  (ruleset.step?.transactions ?? []).map((commands) =>
    commands.filter((command) => !('set' in command) || isAboutNow(command.set)),
  );

const fresh = (table: NetworkTable): Ruleset => {
  const { ruleset } = new VirtualIps(table, backendsByService(table), IPV4);
  const { table: name, sets, chains } = ruleset;
  return { table: name, sets, chains };
};

test('what is kept from table to table is what each table alone would give', () => {
  fc.assert(
    fc.property(fc.array(tableKinds, { minLength: 1, maxLength: 6 }), (kinds) => {
      const tables = kinds.map(tableOf);
      const memory = new EndpointMemory();
      let before: NetworkTable = { ...tableOf({ endpoints: [], services: [] }) };
      memory.update(before.endpoints);
      const kept = new VirtualIps(before, memory.backends, IPV4);
      for (const table of tables) {
        // As an agent patches tables: what did not change is the same object.
        const unchanged = JSON.stringify(table.services) === JSON.stringify(before.services);
        const next = unchanged ? { ...table, services: before.services } : table;
        const token = kept.ruleset.token;
        const touched = memory
          .update(next.endpoints)
          .flatMap((change) => [change.before?.serviceId, change.after?.serviceId]);
        kept.update(next.services, memory.backends, new Set(touched.map(String)));
        expect(content(kept.ruleset)).toEqual(content(fresh(next)));
        for (const [service, addresses] of backendsByService(next))
          expect(memory.backends.get(service)).toEqual(addresses);
        const expected = steps(diffRulesets(fresh(before), fresh(next)));
        if (kept.ruleset.token === token) expect(expected).toEqual([]);
        else {
          expect(kept.ruleset.step?.from).toBe(token);
          const transactions = transactionsOf(kept.ruleset);
          expect(steps(transactions.flat())).toEqual(expected);
          expect(transactions.every(isSafe)).toBe(true);
        }
        before = next;
      }
    }),
  );
});

test('equal endpoints are no change, the same object or not', () => {
  const memory = new EndpointMemory();
  const table = tableOf({ endpoints: ['s0', 's1', 'out'], services: [] });
  expect(memory.update(table.endpoints)).toHaveLength(3);
  expect(memory.update(table.endpoints)).toEqual([]);
  expect(memory.update(structuredClone(table.endpoints))).toEqual([]);
  const [first] = table.endpoints;
  expect(memory.update(table.endpoints.slice(1))).toEqual([{ before: first }]);
  expect(memory.update(table.endpoints)).toEqual([{ before: undefined, after: first }]);
});

test('who holds an address is known, whoever had it before', () => {
  const addresses = ['10.0.1.10', '10.0.1.11', '10.0.1.12'];
  const holding = fc.array(fc.option(fc.constantFrom(...addresses), { nil: undefined }), {
    minLength: 5,
    maxLength: 5,
  });
  fc.assert(
    fc.property(fc.array(holding, { minLength: 1, maxLength: 6 }), (steps) => {
      const memory = new EndpointMemory();
      for (const held of steps) {
        const all = held.map((address) => ({ address: address ?? '', node: 1 }));
        const endpoints = networkTable({ endpoints: all, services: [] })
          .endpoints.map((endpoint, at) => ({
            ...endpoint,
            taskId: `t${at}` as typeof endpoint.taskId,
          }))
          .filter(({ addresses: [address] }) => address !== '');
        memory.update(endpoints);
        for (const address of addresses) {
          const expected = endpoints.filter((one) => one.addresses.includes(address));
          expect(memory.holdersOf(address)).toEqual(expected);
        }
      }
    }),
  );
});
