import { expect, test } from 'vitest';
import type { NetworkTable } from '../model/index.ts';
import { encryptionNeed, planSecurity } from './encryption.ts';
import type { ObservedSecurity, SecurityOperation } from './kernel/security.ts';

const secret = (fill: number): string => Buffer.alloc(32, fill).toString('base64');

function table(
  addresses: readonly string[],
  numbers: readonly number[],
  current: number,
): NetworkTable {
  const encryption = {
    keys: numbers.map((number) => ({ number, secret: secret(number) })),
    current,
  };
  const peers = addresses.map((address) => ({ nodeId: address, address }));
  return { dataPathPort: 4789, peers, encryption } as unknown as NetworkTable;
}

/** The kernel, as far as a plan is concerned. */
function applied(
  observed: ObservedSecurity,
  operations: readonly SecurityOperation[],
): ObservedSecurity {
  let { associations, policies } = observed;
  for (const operation of operations) {
    if (operation.do === 'add-association') {
      associations = [...associations, operation.association];
    } else if (operation.do === 'delete-association') {
      const { spi } = operation.association;
      associations = associations.filter((one) => one.spi !== spi);
    } else {
      const place = JSON.stringify([operation.policy.direction, operation.policy.selector]);
      policies = policies.filter(
        ({ direction, selector }) => JSON.stringify([direction, selector]) !== place,
      );
      if (operation.do === 'put-policy') policies = [...policies, operation.policy];
    }
  }
  return { associations, policies };
}

const NOTHING: ObservedSecurity = { associations: [], policies: [] };
const need = (self: string, ...rest: Parameters<typeof table>): ReturnType<typeof encryptionNeed> =>
  encryptionNeed([table(...rest)], self);

function settled(self: string, ...rest: Parameters<typeof table>): ObservedSecurity {
  return applied(NOTHING, planSecurity(need(self, ...rest), NOTHING));
}

const HOSTS = ['10.9.0.1', '10.9.0.2', '10.9.0.3'];

test('networks in clear need nothing', () => {
  expect(encryptionNeed([{ peers: [] } as unknown as NetworkTable], '10.9.0.1')).toBeUndefined();
});

test('what one host sends with, the other understands, at any distance of one rotation', () => {
  const keys: [number[], number][] = [
    [[1, 2], 1],
    [[1, 2, 3], 2],
    [[2, 3, 4], 3],
  ];
  for (const [at, [known, current]] of keys.entries()) {
    const sender = settled('10.9.0.1', HOSTS, known, current);
    const out = sender.policies.find(
      ({ direction, selector }) => direction === 'out' && selector.destination === '10.9.0.2',
    );
    expect(sender.associations.some(({ spi }) => spi === out?.template?.spi)).toBe(true);
    for (const [otherKnown, otherCurrent] of keys.slice(Math.max(0, at - 1), at + 2)) {
      const { associations } = settled('10.9.0.2', HOSTS, otherKnown, otherCurrent);
      const understood = associations.filter(
        ({ source, destination }) => source === '10.9.0.1' && destination === '10.9.0.2',
      );
      expect(understood.map(({ spi }) => spi)).toContain(out?.template?.spi);
    }
  }
});

test('a plan that was carried out leaves nothing to do, and the end of encryption nothing behind', () => {
  const wanted = need('10.9.0.1', HOSTS, [1, 2, 3], 2);
  const observed = applied(NOTHING, planSecurity(wanted, NOTHING));
  expect(planSecurity(wanted, observed)).toEqual([]);
  expect(observed.policies).toHaveLength(2 + 2 * 2);
  expect(applied(observed, planSecurity(undefined, observed))).toEqual(NOTHING);
});

test('between IPv6 hosts policies are of IPv6, and those of hosts that have not moved there are none', () => {
  const hosts = ['fd00::1', 'fd00::2', '10.9.0.3'];
  const wanted = need('fd00::1', hosts, [1, 2], 1);
  const before = applied(NOTHING, planSecurity(need('10.9.0.1', HOSTS, [1, 2], 1), NOTHING));
  const observed = applied(before, planSecurity(wanted, before));
  const text = JSON.stringify(observed);
  expect(text).toContain('fd00::2');
  expect(text).not.toContain('10.9');
  const bans = observed.policies.filter(({ action }) => action === 'block');
  expect(bans.map(({ selector }) => selector.ipv6)).toEqual([true, true]);
  expect(planSecurity(wanted, observed)).toEqual([]);
});

test('nothing of other makers is touched', () => {
  const foreign: ObservedSecurity = {
    associations: [{ source: '10.9.0.1', destination: '10.9.0.2', spi: 777, request: 1 }],
    policies: [{ direction: 'out', selector: { protocol: 6 }, priority: 5, action: 'allow' }],
  };
  const operations = planSecurity(need('10.9.0.1', HOSTS, [1, 2], 1), foreign);
  const observed = applied(foreign, operations);
  expect(applied(observed, planSecurity(undefined, observed))).toEqual(foreign);
});

test('there is no instant at which a packet would pass in clear', () => {
  const first = planSecurity(need('10.9.0.1', HOSTS, [1, 2], 1), NOTHING);
  const putsPolicies = first.filter((operation) => operation.do === 'put-policy');
  expect(putsPolicies.slice(0, 2).map(({ policy }) => policy.action)).toEqual(['block', 'block']);
  const lastAssociation = first.findLastIndex((operation) => operation.do === 'add-association');
  expect(lastAssociation).toBeLessThan(
    first.findIndex(
      (operation) => operation.do === 'put-policy' && operation.policy.action === 'allow',
    ),
  );
  const observed = applied(NOTHING, first);
  const end = planSecurity(undefined, observed).filter(({ do: what }) => what === 'delete-policy');
  expect(end.at(-1)).toMatchObject({ policy: { action: 'block' } });
});

test('each direction between two hosts has a key of its own', () => {
  const additions = planSecurity(need('10.9.0.1', HOSTS, [1, 2], 1), NOTHING).filter(
    (operation) => operation.do === 'add-association',
  );
  const keys = new Set(additions.map(({ key }) => Buffer.from(key).toString('hex')));
  expect(keys.size).toBe(additions.length);
  expect(additions.every(({ key }) => key.length === 20)).toBe(true);
});
