import { expect, test } from 'vitest';
import type { Connection, ConnectionsWanted, TrackedConnection } from 'vxlan-netlink';
import { type Logger, silentLogger } from '../io/index.ts';
import { AppliedRulesets } from './applied-rulesets.ts';
import { type ForgetTarget, Forgetting } from './forget-connections.ts';
import { FakeKernel } from './kernel/fake.ts';

const OLD = '10.0.0.9';
const UDP = 17;
/** Clients, told apart by their address. */
const [WAITS, IDLE, MUTE, ASKS] = ['10.0.1.1', '10.0.1.2', '10.0.1.3', '10.0.1.4'] as const;
const [ASKS_AGAIN, ASKED, ASKED_AGAIN] = ['10.0.1.5', '10.0.1.6', '10.0.1.7'] as const;
const TELLS = '10.0.1.8';

/** Any flow may lead anywhere. */
const UNKNOWN: ForgetTarget['destinations'] = {
  among: (addresses) => addresses,
  take: (addresses) => addresses,
};

/** A namespace with these flows, told to whom it shows them. */
function flowsOf(flows: Connection[], look: () => void = (): void => undefined): ForgetTarget {
  const track = (connection: Connection): TrackedConnection => ({
    connection,
    original: Buffer.from(connection.source),
    id: undefined,
  });
  const namespace = Object.assign(new FakeKernel().open(), {
    readSysctl: (key: string): string => (key.endsWith('_stream') ? '120' : '30'),
    connections: ({ answeredBy, protocol }: ConnectionsWanted): readonly TrackedConnection[] => {
      look();
      return flows
        .filter(({ replySource }) => answeredBy.has(replySource))
        .filter((flow) => protocol === undefined || flow.protocol === protocol)
        .map(track);
    },
    forgetConnections: (tracked: readonly TrackedConnection[]): void => {
      for (const { connection } of tracked) {
        flows.splice(
          flows.findIndex(({ source }) => source === connection.source),
          1,
        );
      }
    },
    forgetConnection: (
      { connection: { source } }: TrackedConnection,
      keep: (connection: Connection) => boolean,
    ): boolean => {
      look();
      const at = flows.findIndex((flow) => flow.source === source);
      const now = flows[at];
      if (now === undefined) return true;
      if (keep(now)) return false;
      flows.splice(at, 1);
      return true;
    },
  });
  const rulesets = new AppliedRulesets(namespace);
  return { namespace, rulesets, destinations: UNKNOWN, isLive: true };
}

const flow = (
  source: string,
  sent: bigint,
  answered: bigint,
  state: Partial<Connection> = {},
): Connection => ({
  protocol: UDP,
  source,
  originalDestination: '10.0.0.2',
  ports: { source: 5000, destination: 80 },
  replySource: OLD,
  packets: { sent, answered },
  expiresInSeconds: 29,
  assured: false,
  ...state,
});
const removed = { removed: new Set([OLD]), gone: new Set<string>() };
const fail: Logger = {
  ...silentLogger,
  warn: (_, fields) => {
    throw fields?.['error'];
  },
};

test('a flow whose answer is on the way goes once it was answered', async () => {
  const flows = [flow(WAITS, 3n, 2n), flow(IDLE, 2n, 2n), flow(MUTE, 5n, 0n)];
  let looks = 0;
  const target = flowsOf(flows, () => {
    looks += 1;
    if (looks === 7) flows.splice(0, 1, flow(WAITS, 3n, 3n));
    if (looks > 4 && looks < 7) expect(flows.map(({ source }) => source)).toEqual([WAITS]);
  });
  const forgetting = new Forgetting(new FakeKernel(), fail);
  forgetting.begin([target], removed);
  await forgetting.done;
  expect(flows).toEqual([]);
  expect(looks).toBe(7);
});

test('a first question is waited for, not one of long ago, nor who never expects an answer', async () => {
  const flows = [
    flow(ASKS, 1n, 0n),
    flow(ASKS_AGAIN, 9n, 8n, { assured: true, expiresInSeconds: 119 }),
    flow(ASKED, 1n, 0n, { expiresInSeconds: 28 }),
    flow(ASKED_AGAIN, 9n, 8n, { assured: true, expiresInSeconds: 118 }),
    flow(TELLS, 4n, 0n),
  ];
  let left: readonly string[] | undefined;
  let looks = 0;
  const target = flowsOf(flows, () => {
    looks += 1;
    const names = flows.map(({ source }) => source);
    if (names.length === 2 && left === undefined) left = names;
    // Seconds went by.
    if (left !== undefined)
      flows.splice(0, 1, flow(names[0] ?? '', 9n, 8n, { expiresInSeconds: 28 }));
  });
  const forgetting = new Forgetting(new FakeKernel(), fail);
  forgetting.begin([target], removed);
  await forgetting.done;
  expect(left).toEqual([ASKS, ASKS_AGAIN]);
  expect(flows).toEqual([]);
  // Asking on to the end would take hundreds.
  expect(looks).toBeLessThan(20);
});

test('one that is never all answered goes in the end, and so does what the dead held', async () => {
  const flows = [flow(WAITS, 3n, 2n)];
  const dead = [flow(WAITS, 3n, 2n)];
  const told: unknown[] = [];
  const info: Logger['info'] = (_, fields) => told.push(fields);
  const forgetting = new Forgetting(new FakeKernel(), { ...fail, info });
  forgetting.begin([flowsOf(flows)], removed);
  forgetting.begin([flowsOf(dead)], { removed: new Set<string>(), gone: new Set([OLD]) });
  await forgetting.done;
  expect([flows, dead]).toEqual([[], []]);
  expect(told).toEqual([{ questions: 1, backends: [OLD] }]);
});

test('a namespace that fails is reported and keeps nobody else', async () => {
  const flows = [flow(IDLE, 2n, 2n)];
  const broken = flowsOf([], () => {
    throw new Error('kernel says no');
  });
  const reports: unknown[] = [];
  const forgetting = new Forgetting(new FakeKernel(), {
    ...silentLogger,
    warn: (_, fields) => reports.push(fields?.['error']),
  });
  forgetting.begin([broken, flowsOf(flows)], removed);
  await forgetting.done;
  expect(flows).toEqual([]);
  expect(reports).toEqual([new Error('kernel says no')]);
});

test('connections are not asked for where none led to who left', async () => {
  const asked: string[] = [];
  const none = (what: string): ReadonlySet<string> => {
    asked.push(what);
    return new Set();
  };
  const target: ForgetTarget = {
    ...flowsOf([], () => {
      throw new Error('connections asked for');
    }),
    destinations: {
      among: (addresses, protocol) => none(`${[...addresses].join()} ${protocol}`),
      take: (addresses) => none([...addresses].join()),
    },
  };
  const forgetting = new Forgetting(new FakeKernel(), fail);
  forgetting.begin([target], { removed: new Set([OLD]), gone: new Set(['10.0.0.8']) });
  await forgetting.done;
  expect(asked).toEqual(['10.0.0.8', `${OLD} udp`]);
});

test('questions are looked up elsewhere from before the first look until their flow is forgotten', async () => {
  const flows = [flow(WAITS, 3n, 2n), flow(IDLE, 2n, 2n)];
  const aside: (number | undefined)[] = [];
  const target = flowsOf(flows, () => {
    const table = target.namespace.listTable('muster-leaving');
    aside.push(table?.sets.get('questions')?.length);
    if (aside.length === 5) flows.splice(0, 1, flow(WAITS, 3n, 3n));
  });
  const forgetting = new Forgetting(new FakeKernel(), fail);
  forgetting.begin([target], removed);
  await forgetting.done;
  // Listed; both looked at; the one that is left twice more.
  expect(aside).toEqual([undefined, 2, 2, 1, 1]);
  expect(target.namespace.tables()).toEqual([]);
});

test('a flow to the own address of a backend stays while anybody holds that', async () => {
  const flows = [flow(WAITS, 3n, 2n, { originalDestination: OLD }), flow(IDLE, 2n, 2n)];
  const target = flowsOf(flows);
  const forgetting = new Forgetting(new FakeKernel(), fail);
  forgetting.begin([target], removed);
  await forgetting.done;
  expect(flows.map(({ source }) => source)).toEqual([WAITS]);
  forgetting.begin([target], { removed: new Set<string>(), gone: new Set([OLD]) });
  await forgetting.done;
  expect(flows).toEqual([]);
});

test('nothing is looked at before the packets that met the old rules have passed', async () => {
  const flows = [flow(IDLE, 2n, 2n)];
  const steps: string[] = [];
  const target = flowsOf(flows, () => steps.push('look'));
  const packetsPassed = async (): Promise<void> => {
    await Promise.resolve();
    steps.push('passed');
  };
  const forgetting = new Forgetting({ packetsPassed }, fail);
  forgetting.begin([target], removed);
  await forgetting.done;
  expect(steps).toEqual(['passed', 'look', 'passed', 'look']);
});
