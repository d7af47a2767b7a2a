import { describe, expect, it, vi } from 'vitest';
import type { NodeId, TaskId } from '../model/index.ts';
import type { LogRecord } from '../rpc/index.ts';
import { type Bench, bench, SERVICE, settle } from './bench.ts';

const record = (taskId: string, text: string): LogRecord => ({
  taskId: taskId as TaskId,
  nodeId: '',
  timeNs: 1n,
  stream: 'stdout',
  data: Buffer.from(text),
});
const options = { follow: false, stdout: true, stderr: true };

function publish(one: Bench, part: string, nodeId: string, records: LogRecord[]): Promise<void> {
  const batches = async function* (): AsyncGenerator<{
    records: LogRecord[];
    problems: string[];
  }> {
    yield { records, problems: [] };
  };
  return one.dispatcher.publishLogs(part, batches(), nodeId as NodeId);
}

describe('logs', () => {
  it('are asked of every node that runs a task of the service and end with the last one', async () => {
    await using one = await bench();
    one.task('t1', '1', 'running');
    one.task('t2', '2', 'running');
    const agents = [await one.agent('1'), await one.agent('2')];
    const selector = { serviceIds: [SERVICE], taskIds: [] };
    const texts: string[] = [];
    const reading = (async (): Promise<void> => {
      const records = one.dispatcher.questions.logs(
        { selector, options },
        new AbortController().signal,
      );
      for await (const { nodeId, data } of records) texts.push(`${nodeId} ${Buffer.from(data)}`);
    })();
    await settle();
    for (const agent of agents) {
      const request = agent.received.find((message) => message.kind === 'log-request');
      expect(request?.request.taskIds).toEqual([`t${agent.nodeId}`]);
      await publish(one, request?.subscription ?? '', agent.nodeId, [
        record(`t${agent.nodeId}`, 'hi'),
      ]);
    }
    await reading;
    expect(texts).toEqual(['1 hi', '2 hi']);
  });

  it('take nothing from a node that was not asked, and say who is missing', async () => {
    await using one = await bench();
    one.task('t1', '1', 'running');
    one.task('t2', '2', 'running');
    const agent = await one.agent('1');
    const selector = { serviceIds: [SERVICE], taskIds: [] };
    const texts: string[] = [];
    const reading = (async (): Promise<void> => {
      const records = one.dispatcher.questions.logs(
        { selector, options },
        new AbortController().signal,
      );
      for await (const { data } of records) texts.push(`${Buffer.from(data)}`);
    })();
    await settle();
    const request = agent.received.find((message) => message.kind === 'log-request');
    await publish(one, request?.subscription ?? '', '2', [record('t1', 'forged')]);
    const done = vi.fn();
    reading.then(done, done);
    await settle();
    expect(done).not.toHaveBeenCalled();
    await publish(one, request?.subscription ?? '', '1', [
      record('t2', 'alien'),
      record('t1', 'own'),
    ]);
    await expect(reading).rejects.toThrow(/node 2 is not available/);
    expect(texts).toEqual(['own']);
  });
});

describe('logs that are followed', () => {
  it('take in tasks that come later, until the reader goes', async () => {
    await using one = await bench();
    const agent = await one.agent('1');
    const abort = new AbortController();
    const selector = { serviceIds: [SERVICE], taskIds: [] };
    const texts: string[] = [];
    const request = { selector, options: { ...options, follow: true } };
    const reading = (async (): Promise<void> => {
      for await (const { data } of one.dispatcher.questions.logs(request, abort.signal)) {
        texts.push(`${Buffer.from(data)}`);
      }
    })();
    await settle();
    one.task('t1', '1', 'running');
    await settle();
    const asked = agent.received.find((message) => message.kind === 'log-request');
    void publish(one, asked?.subscription ?? '', '1', [record('t1', 'late')]);
    await settle();
    expect(texts).toEqual(['late']);
    one.task('t2', '1', 'running');
    await settle();
    const open = agent.received.findLast((message) => message.kind === 'log-request');
    abort.abort();
    await reading;
    const ended = agent.received.find((message) => message.kind === 'log-end');
    expect(ended?.subscription).toBe(open?.subscription);
  });

  it('go on where they were when the agent was away', async () => {
    await using one = await bench();
    one.task('t1', '1', 'running');
    const agent = await one.agent('1');
    const abort = new AbortController();
    const selector = { serviceIds: [SERVICE], taskIds: [] };
    const request = { selector, options: { ...options, follow: true, tail: 1 } };
    const texts: string[] = [];
    const reading = (async (): Promise<void> => {
      for await (const { data } of one.dispatcher.questions.logs(request, abort.signal)) {
        texts.push(`${Buffer.from(data)}`);
      }
    })();
    await settle();
    const asked = agent.received.find((message) => message.kind === 'log-request');
    const before = { ...record('t1', 'before'), timeNs: 5_000_000n };
    await publish(one, asked?.subscription ?? '', '1', [before]);
    agent.hangUp();
    const back = await one.agent('1');
    const again = back.received.find((message) => message.kind === 'log-request');
    expect(again?.request).toMatchObject({ taskIds: ['t1'], options: { sinceMs: 6 } });
    await publish(one, again?.subscription ?? '', '1', [record('t1', 'after')]);
    abort.abort();
    await reading;
    expect(texts).toEqual(['before', 'after']);
  });
});
