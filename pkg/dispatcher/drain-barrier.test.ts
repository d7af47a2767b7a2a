import { describe, expect, it } from 'vitest';
import { type Agent, type Bench, bench, settle } from './bench.ts';

/** Two nodes with a task each in service; a third that never came. */
async function inService(): Promise<Bench & { first: Agent; second: Agent }> {
  const one = await bench(['1', '2', '3']);
  one.task('t1', '1', 'running');
  one.task('t2', '2', 'running');
  const [first, second] = [await one.agent('1'), await one.agent('2')];
  first.acknowledgeAll();
  second.acknowledgeAll();
  await settle();
  return { ...one, first, second };
}

describe('drain barrier', () => {
  it('stops a task only after every node acknowledged tables without it', async () => {
    const one = await inService();
    one.change('t1', { desired: 'shutdown' });
    await one.clock.advance(10);
    expect(one.second.endpoint('t1')).toBe('out');
    expect(one.first.desired('t1')).toBe('running');
    one.first.acknowledgeAll();
    await settle();
    expect(one.first.desired('t1')).toBe('running');
    one.second.acknowledgeAll();
    await settle();
    expect(one.first.desired('t1')).toBe('shutdown');
  });

  it('does not take an old acknowledgement for a new one', async () => {
    const one = await inService();
    one.change('t1', { desired: 'remove' });
    await one.clock.advance(10);
    one.first.acknowledgeAll();
    one.second.say({ kind: 'acknowledge', sequence: 1 });
    await settle();
    expect(one.first.desired('t1')).toBe('running');
  });

  it('waits two seconds at most', async () => {
    const one = await inService();
    one.change('t1', { desired: 'shutdown' });
    await one.clock.advance(1_990);
    for (const agent of [one.first, one.second]) agent.say({ kind: 'heartbeat' });
    one.first.acknowledgeAll();
    expect(one.first.desired('t1')).toBe('running');
    expect(one.warnings).toEqual([]);
    await one.clock.advance(20);
    expect(one.first.desired('t1')).toBe('shutdown');
    const message = 'stop of a task not waited for any longer';
    expect(one.warnings).toEqual([{ message, fields: { task: 't1', nodes: ['2'] } }]);
  });

  it('does not wait for a node that is down', async () => {
    const one = await inService();
    await one.clock.advance(2_500);
    one.first.say({ kind: 'heartbeat' });
    await settle();
    one.change('t1', { desired: 'shutdown' });
    await one.clock.advance(400);
    one.first.acknowledgeAll();
    await settle();
    expect(one.first.desired('t1')).toBe('running');
    await one.clock.advance(110);
    expect(one.node('2')?.status.state).toBe('down');
    expect(one.first.desired('t1')).toBe('shutdown');
  });

  it('waits for the new session of a node that came back meanwhile', async () => {
    const one = await inService();
    one.second.hangUp();
    await settle();
    one.change('t1', { desired: 'shutdown' });
    await one.clock.advance(10);
    one.first.acknowledgeAll();
    await settle();
    expect(one.first.desired('t1')).toBe('running');
    const back = await one.agent('2');
    expect(back.endpoint('t1')).toBe('out');
    expect(one.first.desired('t1')).toBe('running');
    back.acknowledgeAll();
    await settle();
    expect(one.first.desired('t1')).toBe('shutdown');
  });
});

describe('tasks that are not in service', () => {
  it('are not held back again when a late report says that they run', async () => {
    const one = await bench();
    one.task('t1', '1', 'starting');
    const agent = await one.agent('1');
    one.change('t1', { desired: 'shutdown' });
    await one.clock.advance(10);
    one.change('t1', { state: 'running' });
    await one.clock.advance(10);
    expect(agent.desired('t1')).toBe('shutdown');
  });

  it('are told to stop at once', async () => {
    const one = await bench();
    one.task('t1', '1', 'starting');
    const agent = await one.agent('1');
    one.change('t1', { desired: 'shutdown' });
    await one.clock.advance(10);
    expect(agent.desired('t1')).toBe('shutdown');
  });
});
