import { expect, test } from 'vitest';
import { type InstantMs, type NodeId, VERSION_NONE } from './id.ts';
import type { Node } from './node.ts';
import { nodeSatisfies, parseConstraint } from './placement-constraint.ts';

const node: Node = {
  id: 'n1' as NodeId,
  version: VERSION_NONE,
  createdAt: 0 as InstantMs,
  updatedAt: 0 as InstantMs,
  spec: { Role: 'manager', Availability: 'active', Labels: { Zone: 'A', disks: '4' } },
  description: {
    hostname: 'Host-1',
    os: 'linux',
    architecture: 'x86_64',
    nanoCpus: 1e9,
    memoryBytes: 1,
    engineVersion: '28',
    engineLabels: { disk: 'ssd' },
    plugins: [],
  },
  status: { state: 'ready', address: '10.1.2.3', since: 0 as InstantMs },
  certificateRole: 'manager',
};

test.each([
  ['node.id == n1', true],
  ['node.id==n2', false],
  ['node.id!=n2', true],
  ['node.hostname == host-1', true],
  ['node.role == manager', true],
  ['node.role != manager', false],
  ['node.platform.os == linux', true],
  ['node.platform.arch == amd64', true],
  ['node.platform.arch == x86_64', true],
  ['node.platform.arch == arm64', false],
  ['node.ip == 10.1.2.3', true],
  ['node.ip == 10.1.0.0/16', true],
  ['node.ip != 10.2.0.0/16', true],
  ['node.labels.Zone == a', true],
  ['node.labels.zone == a', false],
  ['node.labels.missing != x', true],
  ['engine.labels.disk == ssd', true],
  ['engine.labels.disk != ssd', false],
  ['node.labels.Zone in a, b', true],
  ['node.labels.Zone not in a,b', false],
  ['node.hostname in host-2,host-3', false],
  ['node.ip in 10.3.0.0/16, 10.1.0.0/16', true],
  ['node.platform.arch in arm64,x86_64', true],
  ['node.labels.Zone exists', true],
  ['node.labels.missing exists', false],
  ['node.labels.missing !exists', true],
  ['node.labels.disks > 3', true],
  ['node.labels.disks > 4', false],
  ['node.labels.disks<10', true],
  ['node.labels.Zone > 3', false],
  ['node.labels.missing < 3', false],
  ['node.hostname =~ ^host-\\d$', true],
  ['node.hostname =~ ^web', false],
  ['node.hostname !~ ^web', true],
  ['node.hostname =~ (h+)+x', false],
  ['node.unknown exists', false],
  ['node.unknown == x', false],
  ['nonsense', false],
])('%s is %s', (text, expected) => {
  expect(nodeSatisfies(node, [text])).toBe(expected);
});

test('every constraint counts', () => {
  expect(nodeSatisfies(node, ['node.role == manager', 'node.id == n2'])).toBe(false);
  expect(nodeSatisfies(node, [])).toBe(true);
});

test('a constraint is a key, an operator and a value', () => {
  expect(parseConstraint(' node.labels.a-b_c.d != x y ')).toEqual({
    key: 'node.labels.a-b_c.d',
    operator: '!=',
    value: 'x y',
  });
  expect(parseConstraint('==x')).toEqual({ error: "key '' is invalid" });
  expect(parseConstraint('a.b=x')).toHaveProperty('error');
});

test.each([
  ['node.labels.a > many', "value 'many' of > is not a number"],
  ['node.labels.a in ', "value '' is invalid"],
  ['node.hostname =~ (', "'(' is no pattern: a ( is not closed"],
])('%s is refused', (text, error) => {
  expect(parseConstraint(text)).toEqual({ error: expect.stringContaining(error) });
});
