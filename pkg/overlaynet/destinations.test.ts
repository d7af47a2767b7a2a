import { expect, test } from 'vitest';
import { type Command, encodeAddress } from 'vxlan-netlink';
import { AppliedRulesets } from './applied-rulesets.ts';
import { Destinations } from './destinations.ts';
import { IPV4, IPV6 } from './family.ts';
import { FakeKernel } from './kernel/fake.ts';
import type { Namespace } from './kernel/kernel.ts';

const [LED, ASKED, OTHER] = ['10.0.0.11', '10.0.0.12', '10.0.0.13'] as const;
const LED6 = 'fd00::11';
const TABLE = 'muster-destinations';
const all = new Set<string>([LED, ASKED, OTHER]);

function notesOf(namespace: Namespace): {
  readonly destinations: Destinations;
  readonly rulesets: AppliedRulesets;
} {
  const rulesets = new AppliedRulesets(namespace);
  const destinations = new Destinations(namespace, rulesets);
  destinations.keep(IPV4);
  return { rulesets, destinations };
}

/** As a rule of the kernel does, which is no transaction. */
function note(namespace: Namespace, address: string, sets: readonly string[]): void {
  const { generation, commit } = namespace;
  const before = namespace.generation();
  const table = IPV4.has(address) ? TABLE : `ip6 ${TABLE}`;
  const elements = [{ key: encodeAddress(address) }];
  namespace.commit(sets.map((set) => ({ do: 'add-elements', table, set, elements })));
  const extra = namespace.generation() - before;
  Object.assign(namespace, {
    generation: () => generation.call(namespace) - extra,
    commit: (commands: readonly Command[]) => commit.call(namespace, commands) - extra,
  });
}

function noted(): ReturnType<typeof notesOf> & { readonly namespace: Namespace } {
  const namespace = new FakeKernel().open();
  const notes = notesOf(namespace);
  note(namespace, LED, ['all']);
  note(namespace, ASKED, ['all', 'by-udp']);
  return { ...notes, namespace };
}

test('tells whom connections led to, and whom by UDP', () => {
  const { destinations } = noted();
  expect(destinations.among(all)).toEqual(new Set([LED, ASKED]));
  expect(destinations.among(all, 'udp')).toEqual(new Set([ASKED]));
  expect(destinations.among(new Set())).toEqual(new Set());
});

test('who is taken is noted anew when something leads there again', () => {
  const { destinations, namespace } = noted();
  expect(destinations.take(new Set([ASKED, OTHER]))).toEqual(new Set([ASKED]));
  expect(destinations.among(all)).toEqual(new Set([LED]));
  expect(destinations.among(all, 'udp')).toEqual(new Set());
  note(namespace, ASKED, ['all', 'by-udp']);
  expect(destinations.among(all, 'udp')).toEqual(new Set([ASKED]));
});

test('families are apart', () => {
  const { destinations, namespace } = noted();
  const both = new Set([LED, LED6]);
  expect(destinations.among(both)).toEqual(new Set([LED]));
  destinations.keep(IPV6);
  note(namespace, LED6, ['all']);
  expect(destinations.among(both)).toEqual(both);
  destinations.drop(IPV6);
  expect(namespace.tables()).toEqual([TABLE]);
  // What was led before is led still.
  destinations.keep(IPV6);
  expect(destinations.among(new Set(['fd00::99']))).toEqual(new Set(['fd00::99']));
});

test('once there was no room for a note everybody is asked about, also when there is room again', () => {
  const { destinations, namespace } = noted();
  const { setMembers } = namespace;
  Object.assign(namespace, {
    setMembers: () => Array.from({ length: 65_535 }, (_, at) => String(at)),
  });
  expect(destinations.take(all)).toEqual(all);
  Object.assign(namespace, { setMembers });
  expect(destinations.among(all)).toEqual(all);
});

test('an agent after this one goes on with the notes', () => {
  const { namespace } = noted();
  expect(notesOf(namespace).destinations.among(all)).toEqual(new Set([LED, ASKED]));
});

test.each(['muster-net-app', 'muster-ingress'])(
  'anybody may have been led anywhere where an agent kept no notes: %s',
  (table) => {
    const namespace = new FakeKernel().open();
    namespace.commit([{ do: 'add-table', table }]);
    expect(notesOf(namespace).destinations.among(all)).toEqual(all);
    // Nor does the next one begin to.
    expect(notesOf(namespace).destinations.among(all)).toEqual(all);
    expect(namespace.tables()).toEqual([table]);
  },
);

test.each(['before', 'after'])(
  'and where somebody else changed tables: asked %s a repair',
  (when) => {
    const { destinations, namespace, rulesets } = noted();
    namespace.commit([{ do: 'delete-table', table: TABLE }]);
    if (when === 'after') expect(rulesets.repair()).toEqual([TABLE]);
    expect(destinations.take(all)).toEqual(all);
    expect(destinations.among(all, 'udp')).toEqual(all);
    expect(rulesets.repair()).toEqual([]);
    expect(namespace.tables()).toEqual([]);
  },
);
