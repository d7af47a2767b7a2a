import { expect, test } from 'vitest';
import type { Command } from 'vxlan-netlink';
import { AppliedRulesets } from './applied-rulesets.ts';
import { backendsByService, beganAt } from './backends.ts';
import { IPV4, IPV6 } from './family.ts';
import { ingressHostRuleset } from './ingress.ts';
import { FakeKernel } from './kernel/fake.ts';
import { hostRuleset } from './publish.ts';
import { diffRulesets, type Ruleset, replaceTable } from './ruleset.ts';
import { networkTable, type TestEndpoint } from './testing/table.ts';
import { VirtualIps } from './vip.ts';

const SERVICES = [
  { name: 'web', vip: '10.0.1.2' },
  { name: 'api', vip: '10.0.1.3' },
];
const ENDPOINTS: readonly TestEndpoint[] = [
  { address: '10.0.1.12', node: 2 },
  { address: '10.0.1.11', node: 1 },
  { address: '10.0.1.13', node: 1, service: 'api' },
];
const vips = (
  endpoints: readonly TestEndpoint[],
  services: Parameters<typeof networkTable>[0]['services'] = SERVICES,
): Ruleset => {
  const table = networkTable({ endpoints, services });
  const { ruleset } = new VirtualIps(table, backendsByService(table), IPV4);
  const { sets, chains, table: name } = ruleset;
  return { table: name, sets, chains };
};

/** One line per command, enough to read a transaction. */
const brief = (commands: readonly Command[]): readonly string[] =>
  commands.map((command) => {
    if ('elements' in command) {
      const keys = command.elements.map(({ key }) => [...key].join('.'));
      return `${command.do} ${command.set} ${keys.join(' ')}`;
    }
    if ('chain' in command) return `${command.do} ${command.chain}`;
    return 'set' in command ? `${command.do} ${command.set}` : command.do;
  });

test('a change of one service touches its members alone, and a verdict only when the number of slots is new', () => {
  const out = ENDPOINTS.map((endpoint, index) => ({ ...endpoint, out: index === 0 }));
  expect(brief(diffRulesets(vips(ENDPOINTS), vips(out)))).toEqual([
    'add-chain turn-1-2',
    'add-rule turn-1-2',
    'delete-elements vips 10.0.1.2',
    'add-elements vips 10.0.1.2',
    'delete-elements choices 130.0.0.0',
    'add-elements choices 66.0.0.0',
    'delete-elements turns 16.0.0.0.0.0.0.0 16.0.0.0.1.0.0.0 17.0.0.0.0.0.0.0 17.0.0.0.1.0.0.0',
    'delete-elements slots 10.0.1.2.1.0.0.0',
    'delete-chain turn-2-2',
  ]);
  // Another service has as many slots, and takes the same turns.
  const shared = [...SERVICES, { name: 'third', vip: '10.9.1.2' }];
  const third = [14, 15].map((number) => ({
    address: `10.0.1.${number}`,
    node: 1,
    service: 'third',
  }));
  expect(
    brief(
      diffRulesets(vips([...ENDPOINTS, ...third], shared), vips([...out, ...third], shared)),
    ).filter((line) => line.includes('2-2') || line.includes('130')),
  ).toEqual([]);
  const moved = ENDPOINTS.map((endpoint, index) =>
    index === 0 ? { ...endpoint, address: '10.0.1.14' } : endpoint,
  );
  expect(brief(diffRulesets(vips(ENDPOINTS), vips(moved)))).toEqual([
    'delete-elements slots 10.0.1.2.1.0.0.0',
    'add-elements slots 10.0.1.2.1.0.0.0',
  ]);
  expect(diffRulesets(vips(ENDPOINTS), vips(ENDPOINTS))).toEqual([]);
});

test('the last backend going leads the VIP to a refusal before its chain goes', () => {
  const none = ENDPOINTS.filter(({ service }) => service !== 'api');
  expect(brief(diffRulesets(vips(ENDPOINTS), vips(none)))).toEqual([
    'delete-elements vips 10.0.1.3',
    'add-elements vips 10.0.1.3',
    'delete-elements choices 67.0.0.0',
    'delete-elements slots 10.0.1.3.0.0.0.0',
    'delete-chain turn-1-3',
  ]);
  expect(brief(diffRulesets(vips(none), vips(ENDPOINTS)))).toEqual([
    'add-chain turn-1-3',
    'add-rule turn-1-3',
    'delete-elements vips 10.0.1.3',
    'add-elements vips 10.0.1.3',
    'add-elements choices 67.0.0.0',
    'add-elements slots 10.0.1.3.0.0.0.0',
  ]);
});

test('slots do not depend on the order of the table', () => {
  expect(vips([...ENDPOINTS].reverse())).toEqual(vips(ENDPOINTS));
});

test('a service without VIP has no chain', () => {
  expect(
    vips(ENDPOINTS, [{ name: 'web', vip: '10.0.1.2' }]).chains.map(({ name }) => name),
  ).toEqual(['output', 'nobody', 'turn-2-2']);
});

/** Backend by slot of a service. */
const slots = (ruleset: Ruleset): readonly string[] =>
  (ruleset.sets.find(({ name }) => name === 'slots')?.elements ?? []).map(({ value }) =>
    [...(value ?? [])].join('.'),
  );

test('weights are slots, as few as possible and spread over the round', () => {
  const weights = [4, 2].map((weight, at) => ({ address: `10.0.1.${11 + at}`, node: 1, weight }));
  const [web] = SERVICES;
  const ruleset = vips(weights, web ? [web] : []);
  expect(slots(ruleset)).toEqual(['10.0.1.11', '10.0.1.12', '10.0.1.11']);
  expect(ruleset.chains.at(-1)?.name).toBe('turn-3-2');
});

test('hosts of the mesh take the same round of slots, and begin it in different places', () => {
  const round = ['a', 'b', 'c', 'd'];
  const begins = Array.from({ length: 40 }, (_, node) => beganAt(round, `node${node} web`));
  for (const slots of begins) expect(`${slots.join('')}${slots.join('')}`).toContain('abcd');
  expect(new Set(begins.map(([first]) => first)).size).toBe(4);
});

test('with affinity a backend that leaves moves its own slots alone', () => {
  const all = [11, 12, 13, 14].map((number) => ({ address: `10.0.1.${number}`, node: 1 }));
  const service = { name: 'web', vip: '10.0.1.2', affinity: 'client' } as const;
  const [before, after] = [all, all.slice(1)].map((endpoints) => slots(vips(endpoints, [service])));
  expect(before).toHaveLength(64);
  expect(after).toHaveLength(64);
  const moved = before?.filter((address, slot) => address !== after?.[slot]);
  expect(new Set(moved)).toEqual(new Set(['10.0.1.11']));
  for (const { address } of all) {
    expect(before?.filter((one) => one === address).length).toBeGreaterThan(7);
  }
});

test('the mesh opens published ports with backends and nothing else', () => {
  const port = { protocol: 'tcp', targetPort: 80 } as const;
  const table = networkTable({
    ingress: true,
    endpoints: ENDPOINTS,
    services: [
      {
        name: 'web',
        ports: [
          { ...port, publishMode: 'ingress', publishedPort: 8080 },
          { ...port, publishMode: 'host', publishedPort: 9090 },
        ],
      },
      { name: 'idle', ports: [{ ...port, publishMode: 'ingress', publishedPort: 7070 }] },
    ],
  });
  const ruleset = ingressHostRuleset(table, {
    mode: 'preserve',
    localSubnets: [],
    nodeId: '',
    family: IPV4,
  });
  expect(ruleset.sets[0]?.elements.map(({ verdict }) => verdict)).toEqual([
    { verdict: 'goto', chain: 'tcp-8080' },
  ]);
});

test('ports of one number on several addresses share a chain', () => {
  const port = {
    protocol: 'tcp',
    publishedPort: 80,
    targetAddress: '172.17.0.2',
    targetPort: 80,
  } as const;
  const ruleset = hostRuleset(
    [{ link: 'docker0', subnet: '172.17.0.0/16', internal: false, walled: false }],
    [
      { ...port, hostIp: '192.0.2.1' },
      { ...port, hostIp: '192.0.2.2', targetAddress: '172.17.0.3' },
    ],
    { family: IPV4, bridgeFilter: false },
  );
  const chain = ruleset.chains.find(({ name }) => name === 'tcp-80');
  expect(chain?.rules).toHaveLength(2);
  expect(ruleset.sets[0]?.elements).toHaveLength(1);
});

test('a port is open on addresses of the family that it is asked for', () => {
  const port = { protocol: 'tcp', publishedPort: 80, targetPort: 80 } as const;
  const open = (hostIp: string | undefined, listenOn?: readonly string[]): readonly boolean[] =>
    [IPV4, IPV6].map((family) => {
      const targets = ['172.17.0.2', 'fd00::2'];
      const ports = targets.map((targetAddress) => ({ ...port, targetAddress, hostIp, listenOn }));
      const { chains } = hostRuleset([], ports, { family, bridgeFilter: false });
      return chains.find(({ name }) => name === 'tcp-80')?.rules.length === 1;
    });
  expect(open(undefined)).toEqual([true, true]);
  expect(open('::')).toEqual([true, true]);
  expect(open('0.0.0.0')).toEqual([true, false]);
  expect(open('192.0.2.1')).toEqual([true, false]);
  expect(open('2001:db8::1')).toEqual([false, true]);
  expect(open(undefined, ['2001:db8::/32'])).toEqual([false, true]);
  expect(open(undefined, ['eth0'])).toEqual([true, true]);
});

test('applied rulesets are repaired only after foreign transactions', () => {
  const kernel = new FakeKernel();
  kernel.createNamespace('ns');
  const namespace = kernel.open('ns');
  const rulesets = new AppliedRulesets(namespace);
  const wanted = vips(ENDPOINTS);
  rulesets.apply(wanted);
  rulesets.apply(vips(ENDPOINTS.slice(1)));
  rulesets.apply(wanted);
  expect(rulesets.repair()).toEqual([]);

  namespace.commit([{ do: 'add-table', table: 'foreign' }]);
  expect(rulesets.repair()).toEqual([]);

  const set = { table: wanted.table, set: 'vips' };
  const elements = [{ key: Buffer.from([10, 0, 1, 2]) }];
  namespace.commit([{ do: 'delete-elements', ...set, elements }]);
  expect(rulesets.repair()).toEqual([wanted.table]);
  expect(namespace.listTable(wanted.table)?.sets.get('vips')).toHaveLength(2);
});

test('a rule that was exchanged for another is noticed once the table was seen intact', () => {
  const kernel = new FakeKernel();
  kernel.createNamespace('ns');
  const namespace = kernel.open('ns');
  const rulesets = new AppliedRulesets(namespace);
  const wanted = vips(ENDPOINTS);
  rulesets.apply(wanted);
  expect(rulesets.repair()).toEqual([]);
  const chain = { table: wanted.table, chain: 'turn-2-2' };
  namespace.commit([
    { do: 'flush-chain', ...chain },
    { do: 'add-rule', ...chain, expressions: [{ kind: 'masquerade' }] },
  ]);
  expect(rulesets.repair()).toEqual([wanted.table]);
  expect(rulesets.repair()).toEqual([]);
  // What was seen of the rules holds on while members change.
  expect(rulesets.repair()).toEqual([]);
  const moved = ENDPOINTS.map((endpoint, index) =>
    index === 0 ? { ...endpoint, address: '10.0.1.99' } : endpoint,
  );
  rulesets.apply(vips(moved));
  namespace.commit([
    { do: 'flush-chain', ...chain },
    { do: 'add-rule', ...chain, expressions: [{ kind: 'masquerade' }] },
  ]);
  expect(rulesets.repair()).toEqual([wanted.table]);
});

test('a table that was changed under us is put in place as a whole', () => {
  const kernel = new FakeKernel();
  kernel.createNamespace('ns');
  const namespace = kernel.open('ns');
  const rulesets = new AppliedRulesets(namespace);
  rulesets.apply(vips(ENDPOINTS));
  namespace.commit([{ do: 'delete-table', table: vips(ENDPOINTS).table }]);
  const next = vips(ENDPOINTS.slice(1));
  rulesets.apply(next);
  expect(namespace.listTable(next.table)?.chains).toHaveLength(next.chains.length);
  expect(
    replaceTable(next)
      .slice(0, 3)
      .map((command) => command.do),
  ).toEqual(['add-table', 'delete-table', 'add-table']);
});
