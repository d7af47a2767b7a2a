import { expect, test } from 'vitest';
import {
  type Change,
  createObject,
  type InstantMs,
  type NodeId,
  removeObject,
  updateObject,
  type Version,
} from '../model/index.ts';
import { type Command, decodeCommand, encodeCommand, encodeMemberCommand } from './command.ts';
import { StateMachine } from './state-machine.ts';
import { config } from './testing/cluster.ts';

const id = (at: number): string => at.toString(16).padStart(32, '0');

function command(at: number, changes: readonly Change[], more: Partial<Command> = {}): Command {
  return { id: id(at), now: 1000 as InstantMs, base: 0 as Version, changes, ...more };
}

const create = (name: string): Change => createObject('config', config(name));

function machineWith(...commands: readonly Command[]): StateMachine {
  const machine = new StateMachine(10);
  commands.forEach((each, at) => {
    machine.apply(each, (at + 1) as Version, 1);
  });
  return machine;
}

function content(machine: StateMachine): readonly string[] {
  return [...machine.snapshot()].map((chunk) => Buffer.from(chunk).toString());
}

function copyOf(machine: StateMachine): StateMachine {
  const copy = new StateMachine(10);
  const restore = copy.beginRestore();
  for (const chunk of machine.snapshot()) restore.add(chunk);
  restore.finish();
  return copy;
}

test('a command survives its encoding', () => {
  const sample = command(7, [create('ä')], { after: id(6), base: 5 as Version });
  expect(decodeCommand(encodeCommand(sample))).toEqual(sample);
  const first = command(8, []);
  expect(decodeCommand(encodeCommand(first))).toEqual({ ...first, after: undefined });
});

test('a second copy of a request has the first outcome and no effect, even when its object is gone', () => {
  const machine = machineWith(command(1, [create('a')]));
  const made = machine.view.byName('config', 'a');
  if (made) machine.apply(command(2, [removeObject('config', made)]), 2 as Version, 1);
  const again = machine.apply(command(1, [create('a')]), 3 as Version, 1);
  expect(again).toEqual({ id: id(1), outcome: { index: 1 } });
  expect(machine.view.count('config')).toBe(0);
  expect(machine.view.index).toBe(3);
});

test('a refusal is remembered as well', () => {
  const machine = machineWith(command(1, [create('a')]), command(2, [create('a')]));
  const refusal = machine.outcomeOf(id(2))?.refusal;
  expect(refusal?.reason).toBe('exists');
  const made = machine.view.byName('config', 'a');
  if (made) machine.apply(command(3, [removeObject('config', made)]), 3 as Version, 1);
  expect(machine.apply(command(2, [create('a')]), 4 as Version, 1).outcome.refusal).toEqual(
    refusal,
  );
});

test('when the outcome of an old request was forgotten, its copy is refused rather than risked', () => {
  const machine = machineWith(
    ...Array.from({ length: 15 }, (_, at) => command(at + 1, [create(`c${at}`)])),
  );
  expect(machine.outcomeOf(id(1))).toBeUndefined();
  const old = machine.apply(command(1, [create('again')]), 16 as Version, 1);
  expect(old.outcome.refusal?.reason).toBe('expired');
  const fresh = command(99, [create('new')], { base: 15 as Version });
  expect(machine.apply(fresh, 17 as Version, 1).outcome.refusal).toBeUndefined();
});

test('what a leader decided counts in its own term only', () => {
  const machine = new StateMachine(10);
  const decided = command(1, [create('a')], { term: 4 });
  expect(decodeCommand(encodeCommand(decided))).toEqual({ ...decided, after: undefined });
  expect(machine.apply(decided, 1 as Version, 5).outcome.refusal?.reason).toBe('superseded');
  expect(machine.view.count('config')).toBe(0);
  const inTime = command(2, [create('a')], { term: 5 });
  expect(machine.apply(inTime, 2 as Version, 5).outcome.refusal).toBeUndefined();
});

test('a request takes effect only after the one it names did', () => {
  const machine = machineWith(
    command(1, [create('a')]),
    command(2, [create('a')]),
    command(3, [create('b')], { after: id(2) }),
    command(4, [create('c')], { after: id(3) }),
    command(5, [create('d')], { after: id(1) }),
  );
  expect([...machine.view.list('config')].map((each) => each.spec.Name)).toEqual(['a', 'd']);
});

test('time never runs backwards, whatever the clocks of proposers say', () => {
  const machine = machineWith(
    command(1, [create('a')], { now: 5000 as InstantMs }),
    command(2, [create('b')], { now: 10 as InstantMs }),
  );
  expect(machine.view.byName('config', 'b')?.updatedAt).toBe(5000);
  expect(machine.now).toBe(5000);
});

test('a snapshot restores everything, also what later entries depend on', () => {
  const machine = machineWith(
    ...Array.from({ length: 12 }, (_, at) => command(at + 1, [create(`c${at}`)])),
  );
  const context = encodeMemberCommand({
    id: id(50),
    now: 2000 as InstantMs,
    base: 12 as Version,
    member: { raftId: 9, nodeId: 'n9' as NodeId, address: 'a:1' },
  });
  const change = { changes: [{ type: 'addLearner', nodeId: 9 }] as const, context };
  machine.applyMember(change, 13 as Version, () => undefined);
  const copy = copyOf(machine);
  expect(content(copy)).toEqual(content(machine));
  for (const each of [machine, copy]) {
    const c3 = each.view.byName('config', 'c3');
    if (c3) each.apply(command(60, [updateObject('config', c3)]), 14 as Version, 1);
    each.apply(command(1, [create('c0')]), 15 as Version, 1);
  }
  expect(content(copy)).toEqual(content(machine));
});

test('a snapshot shows one moment, whatever is applied while it is made', () => {
  const machine = machineWith(command(1, [create('a')]));
  const chunks = machine.snapshot()[Symbol.iterator]();
  const parts = [chunks.next().value];
  machine.apply(command(2, [create('b')]), 2 as Version, 1);
  for (let next = chunks.next(); !next.done; next = chunks.next()) parts.push(next.value);
  const text = parts.map((part) => Buffer.from(part ?? []).toString()).join('');
  expect(text).toContain('"a"');
  expect(text).not.toContain('"b"');
});

test('a late copy of an addition does not bring a removed member back', () => {
  const machine = new StateMachine(10);
  let accepted = 0;
  const accept = (): void => {
    accepted++;
  };
  const base = 0 as Version;
  const now = 1 as InstantMs;
  const member = { raftId: 9, nodeId: 'n9' as NodeId, address: 'a:1' };
  const change = (type: 'addLearner' | 'addNode' | 'removeNode', at: number): void => {
    const context = encodeMemberCommand({ id: id(at), now, base, member });
    machine.applyMember({ changes: [{ type, nodeId: 9 }], context }, at as Version, accept);
  };
  change('addLearner', 1);
  change('addNode', 2);
  change('removeNode', 3);
  expect(accepted).toBe(3);
  change('addNode', 4);
  expect(accepted).toBe(3);
  expect(machine.members.size).toBe(0);
  expect([...machine.removedMembers.keys()]).toEqual([9]);
});

test('a member keeps what else it is when its address changes, and one that is not there is not made', () => {
  const machine = new StateMachine(10);
  const member = { raftId: 9, nodeId: 'n9' as NodeId, address: 'a:1' };
  let at = 0;
  const change = (type: 'addLearner' | 'updateNode' | 'removeNode', address: string): void => {
    at++;
    const [base, now] = [0 as Version, 1 as InstantMs];
    const command = { id: id(at), now, base, member: { ...member, address }, promote: at === 2 };
    const context = encodeMemberCommand(command);
    machine.applyMember(
      { changes: [{ type, nodeId: 9 }], context },
      at as Version,
      () => undefined,
    );
  };
  change('updateNode', 'b:1');
  expect(machine.members.size).toBe(0);
  change('addLearner', 'a:1');
  change('updateNode', 'b:1');
  expect(machine.members.get(9)).toEqual({ ...member, address: 'b:1', promote: true });
  change('removeNode', '');
  change('updateNode', 'c:1');
  expect(machine.members.size).toBe(0);
});
