import fc from 'fast-check';
import { expect, test } from 'vitest';
import { changeMembership, type Membership, restoreMembership } from './conf-change.ts';
import type { ConfChange } from './conf-change-codec.ts';
import { EMPTY_CONF_STATE, type NodeId } from './message.ts';
import { Progress } from './progress.ts';

const make = (id: NodeId, isLearner: boolean): Progress =>
  Progress.create({ id, isLearner, next: 1 }, { maxInflightMsgs: 1, maxInflightBytes: 0 });
const group = (...voters: NodeId[]): Membership =>
  restoreMembership({ ...EMPTY_CONF_STATE, voters }, make);

const nodeId = fc.integer({ min: 1, max: 5 });
const type = fc.constantFrom('addNode', 'addLearner', 'removeNode');
const anyChange = fc.record({
  transition: fc.constantFrom('auto', 'implicit', 'explicit'),
  changes: fc.array(fc.record({ type, nodeId }), { maxLength: 4 }),
});

/** Applies the changes that fit. */
function applyAll(start: Membership, changes: readonly ConfChange[]): Membership {
  return changes.reduce((current, change) => {
    try {
      return changeMembership(current, change, make);
    } catch {
      return current;
    }
  }, start);
}

test('whatever happens there are voters, and everybody has progress', () => {
  fc.assert(
    fc.property(fc.array(anyChange, { maxLength: 12 }), (changes) => {
      const { config, progress } = applyAll(group(1, 2, 3), changes);
      expect(config.voters.length).toBeGreaterThan(0);
      const members = [...config.voters, ...config.votersOutgoing, ...config.learners];
      expect([...progress.keys()]).toEqual([...new Set(members)].sort((a, b) => a - b));
      for (const id of config.learners) expect(progress.get(id)?.isLearner).toBe(true);
    }),
  );
});

test('restoring a configuration gives the same one', () => {
  fc.assert(
    fc.property(fc.array(anyChange, { maxLength: 12 }), (changes) => {
      const { config, progress } = applyAll(group(1, 2, 3), changes);
      const restored = restoreMembership(config, make);
      expect(restored.config).toEqual(config);
      expect([...restored.progress.keys()]).toEqual([...progress.keys()]);
    }),
  );
});

test('a refused change leaves everything as it was', () => {
  const before = group(1);
  const refused = { changes: [{ type: 'removeNode', nodeId: 1 }] } as const;
  expect(() => changeMembership(before, refused, make)).toThrow('removed all voters');
  expect(before.config.voters).toEqual([1]);
  expect([...before.progress.keys()]).toEqual([1]);
});

test('a demoted voter stays a voter of the old half until it is left', () => {
  const change = {
    transition: 'explicit',
    changes: [
      { type: 'addLearner', nodeId: 1 },
      { type: 'addNode', nodeId: 4 },
    ],
  } as const;
  const joint = changeMembership(group(1, 2, 3), change, make);
  expect(joint.config).toEqual({
    voters: [2, 3, 4],
    votersOutgoing: [1, 2, 3],
    learners: [],
    learnersNext: [1],
    autoLeave: false,
  });
  expect(joint.progress.get(1)?.isLearner).toBe(false);
  const left = changeMembership(joint, { changes: [] }, make);
  expect(left.config).toEqual({ ...EMPTY_CONF_STATE, voters: [2, 3, 4], learners: [1] });
  expect(left.progress.get(1)?.isLearner).toBe(true);
});

test('ids that cannot be carried are refused', () => {
  for (const id of [-1, 1.5, Number.MAX_SAFE_INTEGER, Number.NaN]) {
    const change = { changes: [{ type: 'addNode', nodeId: id }] } as const;
    expect(() => changeMembership(group(1), change, make)).toThrow('cannot be a node id');
  }
});
