import { expect, test } from 'vitest';
import { healthPlan } from './health.ts';
import { applyInstructions } from './instructions.ts';
import { checkName } from './name.ts';
import { restartDelay, startsWithEngine } from './restart-policy.ts';
import { parseBytes } from './runtime-spec.ts';
import { expandTemplate } from './task-template.ts';
import { humanDuration, timeText } from './time.ts';

const outcome = { exitCode: 1, restartCount: 0, stoppedByUser: false, ranMs: 5, delayMs: 0 };

test('restarts wait longer each time, and begin anew after a good run', () => {
  const policy = { Name: 'always' };
  expect(restartDelay(policy, outcome)).toBe(100);
  expect(restartDelay(policy, { ...outcome, delayMs: 100 })).toBe(200);
  expect(restartDelay(policy, { ...outcome, delayMs: 50_000 })).toBe(60_000);
  expect(restartDelay(policy, { ...outcome, delayMs: 50_000, ranMs: 11_000 })).toBe(100);
  expect(restartDelay(policy, { ...outcome, stoppedByUser: true })).toBeUndefined();
  expect(restartDelay({ Name: 'no' }, outcome)).toBeUndefined();
  const failing = { Name: 'on-failure', MaximumRetryCount: 2 };
  expect(restartDelay(failing, { ...outcome, restartCount: 1 })).toBe(100);
  expect(restartDelay(failing, { ...outcome, restartCount: 2 })).toBeUndefined();
  expect(restartDelay(failing, { ...outcome, exitCode: 0 })).toBeUndefined();
});

test.each([
  ['always', true, true, true],
  ['unless-stopped', true, false, false],
  ['unless-stopped', false, false, true],
  ['on-failure', false, true, true],
  ['on-failure', false, false, false],
  ['no', false, true, false],
])(
  '%s, stopped by the user %s, ran %s: starts with the engine %s',
  (Name, stoppedByUser, wasRunning, starts) => {
    expect(startsWithEngine({ Name }, { exitCode: 1, stoppedByUser, wasRunning })).toBe(starts);
  },
);

test("health checks get Docker's defaults", () => {
  expect(healthPlan({ Test: ['CMD-SHELL', 'a', 'b'] })).toEqual({
    args: ['/bin/sh', '-c', 'a b'],
    intervalMs: 30_000,
    timeoutMs: 30_000,
    retries: 3,
    startPeriodMs: 0,
    startIntervalMs: 5_000,
  });
  expect(healthPlan({ Test: ['CMD', 'a', 'b'], Interval: 2e9 })).toMatchObject({
    args: ['a', 'b'],
    intervalMs: 2000,
  });
  expect(healthPlan({ Test: ['NONE'] })).toBeUndefined();
  expect(healthPlan(undefined)).toBeUndefined();
});

test('placeholders of tasks', () => {
  const facts = {
    serviceId: 'sid',
    serviceName: 'web',
    serviceLabels: { tier: 'front' },
    nodeId: 'nid',
    nodeHostname: 'box',
    taskId: 'tid',
    taskName: 'web.3.tid',
    slot: 3,
  };
  expect(
    expandTemplate(
      '{{.Service.Name}}-{{ .Task.Slot }}@{{.Node.Hostname}} {{index .Service.Labels "tier"}} {{.Service.Labels.tier}}',
      facts,
    ),
  ).toBe('web-3@box front front');
  expect(expandTemplate('{{.Task.Slot}}', { ...facts, slot: 0 })).toBe('nid');
  expect(expandTemplate('$HOME {x}', facts)).toBe('$HOME {x}');
  expect(() => expandTemplate('{{.Nope}}', facts)).toThrow('expanding {{.Nope}} failed');
});

test('instructions of import', () => {
  const changes = [
    'CMD ["/a","b"]',
    'ENV X=1',
    'env Y two',
    'EXPOSE 80 53/udp',
    'LABEL l="v w"',
    'ENTRYPOINT run it',
  ];
  expect(applyInstructions({}, changes)).toEqual({
    Cmd: ['/a', 'b'],
    Env: ['X=1', 'Y=two'],
    ExposedPorts: { '80/tcp': {}, '53/udp': {} },
    Labels: { l: 'v w' },
    Entrypoint: ['/bin/sh', '-c', 'run it'],
  });
  expect(() => applyInstructions({}, ['RUN x'])).toThrow('RUN is not a valid change command');
});

test("names, sizes and times in Docker's words", () => {
  expect(checkName('/web.1')).toBe('web.1');
  expect(() => checkName('a b')).toThrow(
    'Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed',
  );
  expect([parseBytes('64m'), parseBytes('1g'), parseBytes('12')]).toEqual([64 << 20, 1 << 30, 12]);
  expect(timeText(1_700_000_000_000_000_007n)).toBe('2023-11-14T22:13:20.000000007Z');
  const seconds = [0.5, 1, 59, 60, 3599, 3600, 90_000, 700_000];
  expect(seconds.map((each) => humanDuration(each * 1000))).toEqual([
    'Less than a second',
    '1 second',
    '59 seconds',
    'About a minute',
    '59 minutes',
    'About an hour',
    '25 hours',
    '8 days',
  ]);
});
