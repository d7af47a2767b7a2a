import { expect, test } from 'vitest';
import { systemClock } from '../io/index.ts';
import type { NodeId } from '../model/index.ts';
import type { Member } from './contract.ts';
import { Peers } from './peers.ts';

const member = (raftId: number, address: string, nodeId = `node${raftId}`): Member => ({
  raftId,
  nodeId: nodeId as NodeId,
  address,
});

function peers(): { readonly peers: Peers; readonly log: Map<number, Member> } {
  const log = new Map([1, 2, 3].map((raftId) => [raftId, member(raftId, `old${raftId}`)]));
  const made = new Peers({
    self: member(1, 'old1'),
    clock: systemClock,
    freshMs: 60_000,
    told: [],
    replicated: (): ReadonlyMap<number, Member> => log,
    former: (): ReadonlyMap<number, Member> => new Map(),
  });
  return { peers: made, log };
}

const addresses = (of: Peers): readonly (string | undefined)[] =>
  [1, 2, 3].map((raftId) => of.get(raftId)?.address);

test('what a member says of itself holds until the log says something new', () => {
  const { peers: one, log } = peers();
  one.heard(2);
  one.said(2, [member(2, 'new2')]);
  expect(addresses(one)).toEqual(['old1', 'new2', 'old3']);
  expect(one.moved()).toEqual([member(2, 'new2')]);
  log.set(2, member(2, 'newer2'));
  expect(addresses(one)).toEqual(['old1', 'newer2', 'old3']);
  log.set(2, member(2, 'old2'));
  expect(addresses(one)).toEqual(['old1', 'old2', 'old3']);
  expect(one.moved()).toEqual([]);
});

test('hearsay is dialled but not passed on, and yields to the member itself', () => {
  const { peers: one } = peers();
  one.said(2, [member(3, 'new3'), member(2, 'old2')]);
  expect(addresses(one)).toEqual(['old1', 'old2', 'new3']);
  expect(one.moved()).toEqual([]);
  one.heard(3);
  one.said(3, [member(3, 'old3')]);
  one.said(2, [member(3, 'new3')]);
  expect(addresses(one)).toEqual(['old1', 'old2', 'old3']);
  one.said(3, [member(3, 'newer3')]);
  expect(one.hello()).toEqual({
    kind: 'hello',
    member: member(1, 'old1'),
    others: [member(3, 'newer3')],
  });
});

test('of a member that is lost the others may know more, and it is not passed on any more', () => {
  const { peers: one } = peers();
  one.heard(3);
  one.said(3, [member(3, 'new3')]);
  expect(one.moved()).toHaveLength(1);
  one.lost(3);
  expect(one.moved()).toEqual([]);
  one.said(2, [member(3, 'newer3')]);
  expect(addresses(one)).toEqual(['old1', 'old2', 'newer3']);
});

test('what the end of the own log says holds, once what is before it is applied', () => {
  const { peers: one, log } = peers();
  const lastSaid = { after: 9, members: [member(3, 'new3')] };
  log.set(3, member(3, 'older3'));
  one.recall(lastSaid, 8);
  expect(addresses(one)).toEqual(['old1', 'old2', 'older3']);
  log.set(3, member(3, 'old3'));
  one.recall(lastSaid, 9);
  expect(addresses(one)).toEqual(['old1', 'old2', 'new3']);
  one.heard(3);
  one.said(3, [member(3, 'newer3')]);
  one.recall(lastSaid, 10);
  expect(addresses(one)).toEqual(['old1', 'old2', 'newer3']);
});

test('nobody else says where this member is, or gives a member to another node', () => {
  const { peers: one, log } = peers();
  one.said(2, [member(1, 'elsewhere'), member(3, 'elsewhere', 'stranger')]);
  expect(addresses(one)).toEqual(['old1', 'old2', 'old3']);
  log.set(1, member(1, 'before'));
  expect(one.get(1)?.address).toBe('old1');
  expect(one.moved()).toEqual([member(1, 'old1')]);
});
