import { expect, test } from 'vitest';
import { type Clock, systemClock } from '../io/index.ts';
import { ClusterError } from '../model/index.ts';
import { Connections } from './connections.ts';
import type { ManagerLink } from './manager-link.ts';

const notAsked = (): never => {
  throw new Error('nobody asks for it here');
};

/** Managers that answer as the test says, and what became of each connection. */
function bench(): {
  readonly connections: Connections;
  readonly answers: Map<string, 'yes' | 'deadline' | 'unavailable'>;
  readonly begun: string[];
  readonly closed: string[];
  pass(ms: number): void;
} {
  const answers = new Map<string, 'yes' | 'deadline' | 'unavailable'>();
  const begun: string[] = [];
  const closed: string[] = [];
  let now = 0;
  const clock: Clock = { ...systemClock, monotonicMs: () => now };
  const connect = (address: string): ManagerLink => {
    const name = `${address} #${begun.push(address)}`;
    return {
      ready: async (): Promise<void> => {
        const answer = answers.get(address) ?? 'yes';
        if (answer !== 'yes') throw new ClusterError(answer, name);
      },
      close: () => void closed.push(name),
      openSession: notAsked,
      claimAttachments: notAsked,
      publishLogs: notAsked,
    };
  };
  const pass = (ms: number): void => {
    now += ms;
  };
  return { connections: new Connections({ connect, clock }), answers, begun, closed, pass };
}

test('a connection that takes long goes on while others are tried, and is found further on', async () => {
  const { connections, answers, begun, closed, pass } = bench();
  answers.set('busy', 'deadline');
  await expect(connections.reach('busy')).rejects.toMatchObject({ kind: 'deadline' });
  pass(1000);
  await connections.reach('other');
  await expect(connections.reach('busy')).rejects.toMatchObject({ kind: 'deadline' });
  answers.set('busy', 'yes');
  await connections.reach('busy');
  expect([begun, closed]).toEqual([['busy', 'other'], []]);
  // It is the caller's now.
  connections.close();
  expect(closed).toEqual([]);
});

test('one that failed, or that was under way for ten seconds, begins anew', async () => {
  const { connections, answers, begun, closed, pass } = bench();
  answers.set('gone', 'unavailable');
  await expect(connections.reach('gone')).rejects.toThrow();
  expect(closed).toEqual(['gone #1']);
  answers.set('gone', 'deadline');
  await expect(connections.reach('gone')).rejects.toThrow();
  pass(10_001);
  await expect(connections.reach('gone')).rejects.toThrow();
  await expect(connections.reach('gone')).rejects.toThrow();
  expect([begun.length, closed]).toEqual([3, ['gone #1', 'gone #2']]);
  connections.close();
  expect(closed).toEqual(['gone #1', 'gone #2', 'gone #3']);
});

test('who did not answer is asked last, until it does', async () => {
  const { connections, answers } = bench();
  answers.set('a', 'unavailable');
  await expect(connections.reach('a')).rejects.toThrow();
  connections.lost('b');
  expect(connections.inOrder(['a', 'b', 'c'])).toEqual(['c', 'a', 'b']);
  answers.set('a', 'yes');
  await connections.reach('a');
  expect(connections.inOrder(['a', 'b', 'c'])).toEqual(['a', 'c', 'b']);
});
