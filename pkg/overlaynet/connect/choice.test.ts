import fc from 'fast-check';
import { beforeEach, expect, test } from 'vitest';
import { silentLogger } from '../../io/index.ts';
import { must, type NetworkTable } from '../../model/index.ts';
import { type Backends, backendsByService } from '../backends.ts';
import { FakeConnectHooks } from '../kernel/fake-connect-hooks.ts';
import { networkTable } from '../testing/table.ts';
import { type ConnectChoice, openConnectChoice } from './choice.ts';
import { addressKey, memberKey, numbers } from './maps.ts';

let hooks: FakeConnectHooks;
let choice: ConnectChoice;

beforeEach(() => {
  hooks = new FakeConnectHooks();
  choice = opened();
});

/** With `hooks`. */
function opened(): ConnectChoice {
  const kernel = { connectHooks: (): FakeConnectHooks => hooks };
  const host = { cookie: (): string => '1' };
  const made = openConnectChoice(kernel, host, { cgroup: '/any', log: silentLogger });
  return must(made, 'a choice');
}

const VIPS = ['10.0.1.100', '10.0.1.101'];
const AFFINE = '10.0.1.102';

/** Which service each of some addresses serves. */
const serving = fc.array(fc.constantFrom(undefined, 's0', 's1', 's2'), {
  minLength: 6,
  maxLength: 6,
});
const kinds = fc.record({ serving, services: fc.subarray(['s0', 's1', 's2']) });

function tableOf(given: {
  readonly serving: readonly (string | undefined)[];
  readonly services: readonly string[];
}): NetworkTable {
  return networkTable({
    subnet6: 'fd00:1::/64',
    endpoints: given.serving.flatMap((service, at) =>
      service === undefined
        ? []
        : [{ address: `10.0.1.${at + 10}`, address6: `fd00:1::${at + 10}`, node: 1, service }],
    ),
    services: given.services.map((name) => ({
      name,
      vip: `10.0.1.10${name.slice(1)}`,
      vip6: `fd00:1::10${name.slice(1)}`,
      affinity: name === 's2' ? 'client' : undefined,
    })),
  });
}

/** Whom the maps lead to from a virtual IP, in the order of a round; undefined when they know nothing of it. */
function ledTo(vip: string): readonly string[] | undefined {
  const found = hooks.entries('vips').get(addressKey(vip).toString('hex'));
  if (found === undefined) return undefined;
  const value = Buffer.from(found, 'hex');
  const slots = hooks.entries('slots');
  return Array.from({ length: value.readUInt32LE(4) }, (_, slot) => {
    const key = numbers(value.readUInt32LE(8), slot).toString('hex');
    return slots.get(key) ?? 'nobody';
  });
}

const keysOf = (addresses: readonly string[]): readonly string[] =>
  addresses.map((address) => addressKey(address).toString('hex'));

function backendsFor(vip: string, backends: Backends): readonly string[] {
  const all = backends.get(`s${vip.slice(-1)}-id`) ?? [];
  return keysOf(all.filter((address) => address.includes(':') === vip.includes(':')));
}

const ALL_VIPS = [...VIPS, AFFINE].flatMap((vip) => [vip, vip.replace('10.0.1.', 'fd00:1::')]);

/** Nobody is led to whom either side does not know. */
function expectNobodyWhoLeft(...sides: readonly Backends[]): void {
  for (const vip of ALL_VIPS) {
    const led = ledTo(vip);
    if (led === undefined) continue;
    for (const backends of sides) expect(led).toEqual(backendsFor(vip, backends));
  }
}

function expectAllOffered(services: readonly string[], backends: Backends): void {
  for (const vip of ALL_VIPS) {
    const isOffered = services.includes(`s${vip.slice(-1)}`) && !vip.endsWith('2');
    const expected = isOffered ? backendsFor(vip, backends) : [];
    expect(ledTo(vip)).toEqual(expected.length > 0 ? expected : undefined);
  }
}

test('whatever comes, a VIP leads to who serves it, or is left to the rules; in between to nobody who left', () => {
  fc.assert(
    fc.property(fc.array(kinds, { maxLength: 6 }), (steps) => {
      hooks = new FakeConnectHooks();
      choice = opened();
      let before: Backends = new Map();
      for (const step of steps) {
        const table = tableOf(step);
        const backends = backendsByService(table);
        choice.withdraw(table, backends);
        expectNobodyWhoLeft(before, backends);
        choice.offer(table.networkId, backends);
        expectAllOffered(step.services, backends);
        expect(choice.differences()).toEqual([]);
        before = backends;
      }
      choice.forget('app-id');
      for (const map of ['vips', 'slots', 'origins'] as const) {
        expect(hooks.entries(map).size).toBe(0);
      }
    }),
  );
});

const web = tableOf({ serving: ['s0', 's0', 's1'], services: ['s0', 's1'] });
const offer = (table: NetworkTable, touched?: ReadonlySet<string>): void => {
  const backends = backendsByService(table);
  choice.withdraw(table, backends, touched);
  choice.offer(table.networkId, backends);
};

test('only services that were touched are looked at', () => {
  offer(web);
  const fewer = { ...web, endpoints: web.endpoints.slice(1) };
  offer(fewer, new Set());
  expect(ledTo('10.0.1.100')).toHaveLength(2);
  offer(fewer, new Set(['s0-id']));
  expect(ledTo('10.0.1.100')).toEqual(keysOf(['10.0.1.11']));
});

test('who was connected to a backend that left is still told the virtual IP', () => {
  offer(web);
  offer({ ...web, endpoints: web.endpoints.slice(1) });
  const origin = hooks.entries('origins').get(addressKey('10.0.1.10').toString('hex'));
  expect(origin).toBe(addressKey('10.0.1.100').toString('hex'));
  expect(choice.repair()).toBe(0);
  expect(hooks.entries('origins').get(addressKey('10.0.1.10').toString('hex'))).toBe(origin);
});

test('an address that passed to another service is no former one, whichever was told first', () => {
  for (const [before, after] of [
    ['s0', 's1'],
    ['s1', 's0'],
  ] as const) {
    offer(tableOf({ serving: [before, 's0', 's1'], services: ['s0', 's1'] }));
    offer(tableOf({ serving: [after, 's0', 's1'], services: ['s0', 's1'] }));
    // So many leave that the oldest are forgotten.
    for (let at = 0; at < 300; at++) {
      const base = tableOf({ serving: [after, 's0', 's1'], services: ['s0', 's1'] });
      const [first] = base.endpoints;
      if (first === undefined) throw new Error('an endpoint');
      const more = [1, 2, 3, 4].map((number) => ({
        ...first,
        taskId: `${at}-${number}` as typeof first.taskId,
        addresses: [`10.0.${number + 1}.${at % 250}`],
      }));
      offer({ ...base, endpoints: [...base.endpoints, ...more] });
    }
    expect(choice.repair()).toBe(0);
  }
});

test('containers are on networks, from joining to leaving', () => {
  const namespace = { cookie: (): string => '18446744073709551615' };
  const on = (...ids: readonly string[]): { readonly networkId: string }[] =>
    ids.map((networkId) => ({ networkId }));
  choice.join({ id: 'c1', namespace, attachments: on('a', 'b') });
  const both = [...hooks.entries('members').keys()];
  expect(both).toHaveLength(2);
  expect(both.every((key) => key.startsWith('ff'.repeat(8)))).toBe(true);
  choice.join({ id: 'c1', namespace, attachments: on('b', 'c') });
  expect([...hooks.entries('members').keys()]).toContain(both[1]);
  expect([...hooks.entries('members').keys()]).not.toContain(both[0]);
  expect(choice.differences()).toEqual([]);
  choice.leave('c1');
  expect(hooks.entries('members').size).toBe(0);
});

test('what somebody changed is told of, put back and counted', () => {
  offer(web);
  hooks.delete('vips', addressKey('10.0.1.100'));
  hooks.put('slots', numbers(99, 0), addressKey('10.9.9.9'));
  hooks.put('members', memberKey('7', 1), numbers(1));
  expect(choice.differences()).toEqual([
    'choice at connect: 1 of vips not as told',
    'choice at connect: 1 of slots not as told',
    'choice at connect: 1 of members not as told',
  ]);
  hooks.detach();
  expect(choice.differences()).toContain('choice at connect: 4 programs not attached');
  expect(choice.repair()).toBe(7);
  expect(choice.differences()).toEqual([]);
  expect(choice.repair()).toBe(0);
  expect(ledTo('10.0.1.100')).toHaveLength(2);
});

test('what was withdrawn is not put back before the rules know', () => {
  offer(web);
  const fewer = { ...web, endpoints: web.endpoints.slice(1) };
  choice.withdraw(fewer, backendsByService(fewer));
  expect(choice.repair()).toBe(0);
  expect(ledTo('10.0.1.100')).toBeUndefined();
});

test('a kernel that has no such programs leaves all to the rules, and keeps nothing open', () => {
  let isOpen = true;
  const failing = Object.assign(new FakeConnectHooks(), {
    attach: (): never => {
      throw new Error('EPERM');
    },
    [Symbol.dispose]: (): void => {
      isOpen = false;
    },
  });
  const cookie = (): string => '1';
  const options = { cgroup: '/any', log: silentLogger };
  expect(openConnectChoice({ connectHooks: () => failing }, { cookie }, options)).toBeUndefined();
  expect(isOpen).toBe(false);
});

test('a service that finds no room is left to the rules without complaint', () => {
  const put = hooks.put.bind(hooks);
  hooks.put = (map, ...entry): boolean => map !== 'slots' && put(map, ...entry);
  const tight = opened();
  const backends = backendsByService(web);
  tight.withdraw(web, backends);
  tight.offer(web.networkId, backends);
  expect(tight.differences()).toEqual([]);
});
