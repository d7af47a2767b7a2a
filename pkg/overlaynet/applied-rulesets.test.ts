import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { encodeAddress } from 'vxlan-netlink';
import { AppliedRulesets } from './applied-rulesets.ts';
import { FakeKernel } from './kernel/fake.ts';
import type { Ruleset } from './ruleset.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const rulesetOf = (address: string): Ruleset => ({
  table: 't',
  sets: [{ name: 's', shape: { key: ['ipv4'] }, elements: [{ key: encodeAddress(address) }] }],
  chains: [],
});

test('rulesets that are not applied any more are not kept', async () => {
  const applied = new AppliedRulesets(new FakeKernel().open());
  const refs = [1, 2, 3, 4].map((last) => {
    const ruleset = rulesetOf(`10.0.0.${last}`);
    applied.apply(ruleset);
    return new WeakRef(ruleset);
  });
  // References live on until the end of the turn that made them.
  await new Promise(setImmediate);
  collect();
  expect(refs.map((ref) => ref.deref() !== undefined)).toEqual([false, false, false, true]);
});
