import { expect, test } from 'vitest';
import type { Connection } from 'vxlan-netlink';
import { AppliedRulesets } from './applied-rulesets.ts';
import { FakeKernel } from './kernel/fake.ts';
import type { Namespace } from './kernel/kernel.ts';
import { SetAside } from './set-aside.ts';

const flow = (source: string, destination: string): Connection => ({
  protocol: 17,
  source,
  originalDestination: destination,
  ports: { source: 5000, destination: 80 },
  replySource: destination,
  expiresInSeconds: 30,
  assured: false,
});
const FOUR = flow('10.0.0.7', '10.0.0.2');
const SIX = flow('fd00::7', 'fd00::2');

const questions = (namespace: Namespace, table: string): readonly string[] =>
  (namespace.listTable(table)?.sets.get('questions') ?? []).map(
    ({ key, value }) => `${key} ${value}`,
  );

test('a question comes back when no flow waits under it any more, whichever was first', () => {
  const namespace = new FakeKernel().open();
  const aside = new SetAside(new AppliedRulesets(namespace));
  const key = ['0a000007', '0a000002', '13880000', '00500000'].join('');
  aside.add([FOUR], 1);
  expect(questions(namespace, 'muster-leaving')).toEqual([`${key} 0100`]);
  aside.add([FOUR], 2);
  expect(questions(namespace, 'muster-leaving')).toEqual([`${key} 0200`]);
  aside.remove([FOUR]);
  expect(questions(namespace, 'muster-leaving')).toEqual([`${key} 0200`]);
  aside.remove([FOUR]);
  expect(namespace.tables()).toEqual([]);
});

test('each family has its table', () => {
  const namespace = new FakeKernel().open();
  const aside = new SetAside(new AppliedRulesets(namespace));
  aside.add([FOUR, SIX], 1);
  expect(namespace.tables().toSorted()).toEqual(['ip6 muster-leaving', 'muster-leaving']);
  aside.remove([FOUR]);
  expect(namespace.tables()).toEqual(['ip6 muster-leaving']);
  aside.remove([SIX]);
  expect(namespace.tables()).toEqual([]);
});
