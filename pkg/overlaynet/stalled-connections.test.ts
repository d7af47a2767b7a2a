import { expect, test } from 'vitest';
import type { Connection, ConnectionsWanted, TrackedConnection } from 'vxlan-netlink';
import { silentLogger } from '../io/index.ts';
import { AppliedRulesets } from './applied-rulesets.ts';
import type { ForgetTarget } from './forget-connections.ts';
import { FakeKernel } from './kernel/fake.ts';
import { StalledConnections } from './stalled-connections.ts';

const SILENT = '10.0.1.11';
const left = new Set([SILENT]);

const connection = (source: string, sent: bigint, answered: bigint): Connection => ({
  protocol: 6,
  source,
  originalDestination: '10.0.1.2',
  replySource: SILENT,
  packets: { sent, answered },
  expiresInSeconds: 119,
  assured: false,
});

const [ASKS, ANSWERED, LATE] = ['10.0.1.1', '10.0.1.2', '10.0.1.3'] as const;
const ALL = [connection(ASKS, 1n, 0n), connection(ANSWERED, 9n, 3n), connection(LATE, 1n, 0n)];

/** @param noted whether anything was led to the silent one */
function target(noted: boolean): ForgetTarget & { readonly forgotten: string[]; looks: number } {
  const forgotten: string[] = [];
  const found = { forgotten, looks: 0 };
  const namespace = Object.assign(new FakeKernel().open(), {
    connections: ({ answeredBy, protocol }: ConnectionsWanted): readonly TrackedConnection[] => {
      expect([...answeredBy, protocol]).toEqual([SILENT, 6]);
      found.looks++;
      return ALL.map((one) => ({ connection: one, original: Buffer.alloc(0), id: undefined }));
    },
    forgetConnection: (
      { connection: one }: TrackedConnection,
      keep: (now: Connection) => boolean,
    ): boolean => {
      // Answered between the look and now.
      const now = one.source === LATE ? connection(one.source, 3n, 1n) : one;
      if (keep(now)) return false;
      forgotten.push(one.source);
      return true;
    },
  });
  const among = (addresses: ReadonlySet<string>): ReadonlySet<string> =>
    noted ? addresses : new Set();
  const rulesets = new AppliedRulesets(namespace);
  const destinations = { among, take: among };
  return Object.assign(found, { namespace, rulesets, destinations, isLive: true });
}

test('of the connections to one that is out and silent, those that nobody answered go, and nobody else is asked', async () => {
  const stalled = new StalledConnections(silentLogger);
  const [talked, never] = [target(true), target(false)];
  stalled.watch([talked, never], left, () => true);
  await stalled.done;
  expect(talked).toMatchObject({ looks: 1, forgotten: [ASKS] });
  expect(never.looks).toBe(0);
});

test('nobody is looked for who serves again or is over, nor in a namespace that was closed', async () => {
  const stalled = new StalledConnections(silentLogger);
  const [back, closed] = [target(true), Object.assign(target(true), { isLive: false })];
  stalled.watch([back], left, () => false);
  stalled.watch([closed], new Set(['10.0.1.12']), () => true);
  await stalled.done;
  expect([back.looks, closed.looks]).toEqual([0, 0]);
});

test('who came back and left again is looked for once, when it was silent since its last leaving', async () => {
  const stalled = new StalledConnections(silentLogger);
  const [before, since] = [target(true), target(true)];
  stalled.watch([before], left, () => true);
  stalled.watch([since], left, () => true);
  await stalled.done;
  expect([before.looks, since.looks]).toEqual([0, 1]);
});

test('a namespace that fails keeps no other from its turn', async () => {
  const failures: unknown[] = [];
  const log = { ...silentLogger, warn: (_: string, fields?: object) => failures.push(fields) };
  const stalled = new StalledConnections(log);
  const [broken, whole] = [target(true), target(true)];
  broken.namespace.connections = (): never => {
    throw new Error('no');
  };
  stalled.watch([broken, whole], left, () => true);
  await stalled.done;
  expect(failures).toHaveLength(1);
  expect(whole.forgotten).toEqual([ASKS]);
});
