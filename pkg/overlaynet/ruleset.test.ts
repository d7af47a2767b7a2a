import { expect, test } from 'vitest';
import type { Command } from 'vxlan-netlink';
import { AppliedRulesets } from './applied-rulesets.ts';
import { ingressHostRuleset } from './ingress.ts';
import { FakeKernel } from './kernel/fake.ts';
import { hostRuleset } from './publish.ts';
import { diffRulesets, type Ruleset, replaceTable } from './ruleset.ts';
import { networkTable, type TestEndpoint } from './testing/table.ts';
import { backendsByService, VirtualIps } from './vip.ts';

const SERVICES = [
  { name: 'web', vip: '10.0.1.2' },
  { name: 'api', vip: '10.0.1.3' },
];
const ENDPOINTS: readonly TestEndpoint[] = [
  { address: '10.0.1.12', node: 2 },
  { address: '10.0.1.11', node: 1 },
  { address: '10.0.1.13', node: 1, service: 'api' },
];
const vips = (endpoints: readonly TestEndpoint[], services = SERVICES): Ruleset => {
  const table = networkTable({ endpoints, services });
  const { sets, chains, table: name } = new VirtualIps(table, backendsByService(table)).ruleset;
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

test('a change of one service touches its chain alone', () => {
  const out = ENDPOINTS.map((endpoint, index) => ({ ...endpoint, out: index === 0 }));
  expect(brief(diffRulesets(vips(ENDPOINTS), vips(out)))).toEqual([
    'flush-chain service-web-id',
    'add-rule service-web-id',
  ]);
  expect(diffRulesets(vips(ENDPOINTS), vips(ENDPOINTS))).toEqual([]);
});

test('the last backend going moves the VIP to the refused ones before its chain goes', () => {
  const none = ENDPOINTS.filter(({ service }) => service !== 'api');
  expect(brief(diffRulesets(vips(ENDPOINTS), vips(none)))).toEqual([
    'delete-elements vips 10.0.1.3',
    'add-elements refused 10.0.1.3',
    'delete-chain service-api-id',
  ]);
  expect(brief(diffRulesets(vips(none), vips(ENDPOINTS)))).toEqual([
    'add-chain service-api-id',
    'add-rule service-api-id',
    'add-elements vips 10.0.1.3',
    'delete-elements refused 10.0.1.3',
  ]);
});

test('slots do not depend on the order of the table', () => {
  expect(vips([...ENDPOINTS].reverse())).toEqual(vips(ENDPOINTS));
});

test('a service without VIP has no chain', () => {
  expect(
    vips(ENDPOINTS, [{ name: 'web', vip: '10.0.1.2' }]).chains.map(({ name }) => name),
  ).toEqual(['output', 'refuse', 'service-web-id']);
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
  const ruleset = ingressHostRuleset(table, { mode: 'preserve', localSubnets: [] });
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
  );
  const chain = ruleset.chains.find(({ name }) => name === 'tcp-80');
  expect(chain?.rules).toHaveLength(2);
  expect(ruleset.sets[0]?.elements).toHaveLength(1);
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
  const chain = { table: wanted.table, chain: 'service-web-id' };
  namespace.commit([
    { do: 'flush-chain', ...chain },
    { do: 'add-rule', ...chain, expressions: [{ kind: 'masquerade' }] },
  ]);
  expect(rulesets.repair()).toEqual([wanted.table]);
  expect(rulesets.repair()).toEqual([]);
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
