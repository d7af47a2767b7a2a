import { expect, test } from 'vitest';
import { type ServiceExplained, serviceText, taskText } from './explain-text.ts';
import { planText } from './plan-text.ts';

const placement = {
  nodesAsked: 3,
  nodesThatFit: 0,
  refusals: [{ text: 'insufficient resources on 3 nodes', nodes: ['h1', 'h2', 'h3'] }],
  suggestions: [{ text: 'reserve 128 MiB less memory: 1 node would fit', nodes: ['h1'] }],
  ranking: [],
};
const example = {
  id: 't1',
  serviceName: 'web',
  slot: 1,
  desiredState: 'running',
  state: 'pending',
  since: 0,
  error: 'no suitable node (insufficient resources on 3 nodes)',
};

test('a service with tasks that wait', () => {
  const service = { name: 'web', specVersion: 2 };
  const pending = [{ tasks: 2, example, placement }];
  const explained = { service, running: 1, slots: 3, wanted: 3, idle: [], pending };
  expect(serviceText(explained, 0)).toEqual([
    'web: 1 of 3 running, spec version 2',
    '2 tasks wait: no suitable node (insufficient resources on 3 nodes)',
    '  0 of 3 nodes fit',
    '    insufficient resources on 3 nodes: h1, h2, h3',
    '  would help: reserve 128 MiB less memory: 1 node would fit (h1)',
  ]);
});

test('a service whose tasks are moved', () => {
  const service = { name: 'web', specVersion: 2 };
  const base = { service, running: 3, slots: 3, wanted: 3, idle: [], pending: [] };
  const lines = (rebalance: ServiceExplained['rebalance']): readonly string[] =>
    serviceText({ ...base, rebalance }, 1000).filter((line) => line.startsWith('rebalance'));
  expect(lines({ state: 'rests', until: 4000, moving: [] })).toEqual([
    'rebalance: looks for a better node for one of its tasks in 3 seconds',
  ]);
  expect(lines({ state: 'busy', moving: [{ slot: 2, from: 'h1', to: 'h4' }] })).toEqual([
    'rebalance: slot 2 moves from h1 to h4',
  ]);
});

test('a task that was restarted and is held', () => {
  const slot = {
    slot: '1',
    task: 't2',
    attempts: 1,
    failures: 0,
    policy: { condition: 'any', maxAttempts: 3 },
    gaveUp: false,
    startAt: 30_000,
    waitsFor: 'its restart delay',
    earlier: [{ id: 't1', state: 'failed', at: 0, exitCode: 7, replacedBecause: 'ended' }],
  };
  const task = { ...example, state: 'ready', nodeId: 'n1', hostname: 'h1', error: '' };
  expect(taskText({ task, slot, serviceGone: false }, 10_000)).toEqual([
    'web.1 (t1): ready since 10 seconds ago, wanted running, node h1',
    '  before: task t1 failed 10 seconds ago, exit code 7; replaced because: ended',
    '  restarts: 1 (at most 3)',
    '  starts in 20 seconds',
    '  waits for its restart delay',
  ]);
});

test('a plan', () => {
  const steps = [
    { atMs: 0, action: 'stop', slot: 'web.1', node: 'h1' },
    { atMs: 1000, action: 'start', slot: 'web.1', node: 'h2' },
  ];
  const counts = { runningBefore: 3, runningMin: 2, runningAfter: 3 };
  expect(planText({ steps, ...counts, durationMs: 1000, waiting: [], truncated: false })).toEqual([
    '    +0.0s  stop  web.1 on h1',
    '    +1.0s  start web.1 on h2',
    'running: 3 now, at least 2 on the way, 3 then',
    'takes about 1.0 s if every task comes up at once',
  ]);
});
