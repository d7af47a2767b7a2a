import { expect, test } from 'vitest';
import { type Clock, systemClock } from '../io/index.ts';
import type { NodeId } from '../model/index.ts';
import type { MemberStatus } from '../store/index.ts';
import { lostHosts } from './lost-hosts.ts';

const clock: Clock = {
  ...systemClock,
  monotonicMs: () => 10_000,
  after: (_delayMs, action) => systemClock.after(0, action),
};

function member(name: string, silentMs: number | undefined): MemberStatus {
  const [nodeId, raftId] = [name as NodeId, 1];
  return { nodeId, raftId, address: name, role: 'voter', leader: false, reachable: true, silentMs };
}

/** `kernels`: answers of the kernel of each host, in order; every further question finds nobody. */
async function lost(
  members: readonly MemberStatus[],
  kernels: Readonly<Record<string, readonly boolean[]>> = {},
): Promise<{ readonly found: unknown; readonly asked: readonly string[] }> {
  const asked: string[] = [];
  const hostAnswers = async (address: string): Promise<boolean> => {
    asked.push(address);
    const times = asked.filter((one) => one === address).length;
    return kernels[address]?.[times - 1] ?? false;
  };
  return { found: await lostHosts(members, { clock, hostAnswers }), asked };
}

test('a host is gone when its manager is silent, closed nothing, and its kernel does not answer twice', async () => {
  expect(await lost([member('a', 1_300)])).toEqual({
    found: [{ nodeId: 'a', heardAt: 8_700 }],
    asked: ['a', 'a'],
  });
});

test('a manager that stands still has a kernel that answers', async () => {
  const { found } = await lost([member('a', 1_300), member('b', 900)], {
    a: [true],
    b: [false, true],
  });
  expect(found).toEqual([]);
});

test('nobody is asked about who was heard just now, who closed its connection, and this manager itself', async () => {
  const { found, asked } = await lost([member('a', 200), member('b', undefined)]);
  expect([found, asked]).toEqual([[], []]);
});
