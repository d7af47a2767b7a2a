import { describe, expect, it } from 'vitest';
import type { HostNetworkCheck, Version } from '../model/index.ts';
import type { ManagerMessage } from '../rpc/index.ts';
import { type Agent, bench, NET, settle } from './bench.ts';

const CHECK: HostNetworkCheck = {
  revision: 1 as Version,
  digest: 'd',
  differences: [],
  repairs: 2,
  probes: [],
};

function asked(agent: Agent): Extract<ManagerMessage, { kind: 'check-network' }> | undefined {
  return agent.received.find((message) => message.kind === 'check-network');
}

describe('network check', () => {
  it('asks the nodes that take part, and says who has acknowledged', async () => {
    await using one = await bench(['1', '2', '3']);
    one.task('t1', '1', 'running');
    one.task('t2', '2', 'running');
    const [first, second, third] = [
      await one.agent('1'),
      await one.agent('2'),
      await one.agent('3'),
    ];
    first.acknowledgeAll();
    await settle();
    const checked = one.dispatcher.questions.checkNetwork(NET);
    await settle();
    expect(asked(third)).toBeUndefined();
    const number = asked(first)?.number ?? 0;
    // Somebody else's number is not believed.
    second.say({ kind: 'network-checked', number, check: { ...CHECK, digest: 'lie' } });
    first.say({ kind: 'network-checked', number, check: CHECK });
    second.say({ kind: 'network-checked', number: asked(second)?.number ?? 0 });
    const { nodes, name, digest } = await checked;
    expect(name).toBe('front');
    expect(digest).toHaveLength(12);
    expect(
      nodes.map(({ nodeId, acknowledged, check, problem }) => [
        nodeId,
        acknowledged,
        check,
        problem,
      ]),
    ).toEqual([
      ['1', true, CHECK, undefined],
      ['2', false, undefined, 'it has no table of the network'],
    ]);
  });

  it('waits for nobody who is gone or silent', async () => {
    await using one = await bench(['1', '2', '3']);
    one.task('t1', '1', 'running');
    one.task('t2', '2', 'running');
    one.task('t3', '3', 'running');
    await one.agent('1');
    const leaving = await one.agent('2');
    const checked = one.dispatcher.questions.checkNetwork(NET);
    await settle();
    leaving.hangUp();
    await one.clock.advance(2_000);
    const silent = one.dispatcher.questions.checkNetwork(NET);
    await one.clock.advance(6_000);
    const problems = async (check: typeof checked): Promise<unknown> =>
      (await check).nodes.map(({ problem }) => problem);
    expect(await problems(checked)).toEqual(
      expect.arrayContaining(['it lost its leader', expect.stringContaining('the node is ')]),
    );
    expect(await problems(silent)).toHaveLength(3);
  });

  it('refuses a network that it does not know, and without a leader', async () => {
    await using one = await bench();
    await expect(
      one.dispatcher.questions.checkNetwork('nowhere' as typeof NET),
    ).rejects.toMatchObject({
      kind: 'not-found',
    });
    one.store.lead(false);
    await expect(one.dispatcher.questions.checkNetwork(NET)).rejects.toMatchObject({
      kind: 'unavailable',
    });
  });
});
