import { describe, expect, it } from 'vitest';
import type { NodeId } from '../model/index.ts';
import { bench } from './bench.ts';

describe('a change of leader', () => {
  it('keeps agents waiting, and serves them when this manager is elected', async () => {
    await using one = await bench();
    one.store.lead(false);
    const agent = await one.agent('1');
    await one.clock.advance(1_000);
    expect([agent.done, agent.received]).toEqual([false, []]);
    one.store.lead(true);
    await one.clock.advance(100);
    expect(agent.received[0]?.kind).toBe('welcome');
  });

  it('sends an agent that waits to the leader as soon as there is one, and away when there is none for two seconds', async () => {
    await using one = await bench();
    one.store.lead(false);
    const [first, second] = [await one.agent('1'), await one.agent('2')];
    await one.clock.advance(2_100);
    expect(first.received).toEqual([{ kind: 'redirect', leader: '' }]);
    const third = await one.agent('1');
    one.store.leaderMember = { raftId: 7, nodeId: '9' as NodeId, address: '192.0.2.9:2377' };
    await one.clock.advance(100);
    expect(third.received).toEqual([{ kind: 'redirect', leader: '192.0.2.9:2377' }]);
    expect([first.done, second.done, third.done]).toEqual([true, true, true]);
  });

  it('tells who asks for the leader where it is, also when it is this manager', async () => {
    await using one = await bench();
    const leader = { raftId: 7, nodeId: '9' as NodeId, address: '192.0.2.9:2377' };
    one.store.leaderMember = leader;
    const asking = await one.agent('1', 'find-leader');
    one.store.lead(false);
    const again = await one.agent('1', 'find-leader');
    for (const { received, done } of [asking, again]) {
      expect([received, done]).toEqual([[{ kind: 'redirect', leader: leader.address }], true]);
    }
    expect(one.node('1')?.status.state).toBe('unknown');
  });

  it('writes nothing when nodes say what is known', async () => {
    await using one = await bench();
    (await one.agent('1')).hangUp();
    const { index } = one.store.view;
    const again = await one.agent('1');
    expect([again.received[0]?.kind, one.store.view.index]).toEqual(['welcome', index]);
  });
});
