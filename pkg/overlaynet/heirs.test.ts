import fc from 'fast-check';
import { expect, test } from 'vitest';
import { IPV4 } from './family.ts';
import { type BackendChange, Heirs, type HeirsStep, heirSets } from './heirs.ts';

const SERVICES = ['s0', 's1', 's2'];
const addressOf = (at: number): string => `10.0.1.${at + 10}`;

/** Which service each of some addresses serves. */
const serving = fc.array(fc.constantFrom(undefined, ...SERVICES), { minLength: 6, maxLength: 6 });

type Serving = readonly (string | undefined)[];
const backendsOf = (state: Serving, service: string): readonly string[] =>
  state.flatMap((one, at) => (one === service ? [addressOf(at)] : []));

function changesOf(before: Serving, after: Serving): readonly BackendChange[] {
  return SERVICES.map((serviceId) => ({
    serviceId,
    before: backendsOf(before, serviceId),
    after: backendsOf(after, serviceId),
  })).filter((change) => String(change.before) !== String(change.after));
}

/** Who left, and the service that it left last; nobody who serves. */
function leftLast(states: readonly Serving[]): ReadonlyMap<string, string> {
  const last = new Map<string, string>();
  for (const [at, state] of states.entries()) {
    for (const service of SERVICES) {
      for (const address of backendsOf(states[at - 1] ?? [], service)) last.set(address, service);
    }
    for (const service of SERVICES) {
      for (const address of backendsOf(state, service)) last.delete(address);
    }
  }
  return last;
}

/** What the kernel has after all steps. */
function heldAfter(heirs: Heirs, states: readonly Serving[]): ReadonlySet<unknown> {
  const held = new Set<unknown>();
  for (const [at, state] of states.entries()) {
    const { old, fresh } = heirs.update(changesOf(states[at - 1] ?? [], state));
    for (const former of old) expect(held.delete(former)).toBe(true);
    for (const former of fresh) held.add(former);
  }
  return held;
}

const textOf = (bytes: Uint8Array | undefined): string => [...(bytes ?? [])].join('.');

test('who served last has an heir of the same service, unless nobody serves or it serves again', () => {
  fc.assert(
    fc.property(fc.array(serving, { maxLength: 8 }), (states) => {
      const heirs = new Heirs();
      const held = heldAfter(heirs, states);
      expect(new Set(heirs.all)).toEqual(held);
      const [led = [], refused = []] = heirSets(heirs.all, IPV4).map(({ elements }) => elements);
      const heirOf = new Map(led.map(({ key, value }) => [textOf(key), textOf(value)]));
      const heirless = refused.map(({ key }) => textOf(key));
      const last = leftLast(states);
      expect(heirOf.size + heirless.length).toBe(last.size);
      for (const [address, service] of last) {
        const now = backendsOf(states.at(-1) ?? [], service);
        if (now.length > 0) expect(now).toContain(heirOf.get(address));
        else expect(heirless).toContain(address);
      }
    }),
  );
});

test('an heir stays for as long as it serves, and the oldest are forgotten', () => {
  const heirs = new Heirs();
  const change = (before: readonly string[], after: readonly string[]): HeirsStep =>
    heirs.update([{ serviceId: 's0', before, after }]);
  change(['10.9.0.1', '10.9.0.2'], ['10.9.0.2']);
  const [first] = heirs.all;
  change(['10.9.0.2'], ['10.9.0.2', '10.9.0.3']);
  expect(heirs.all).toEqual([first]);
  for (let at = 0; at < 300; at++)
    change([`10.0.${at >> 8}.${at & 255}`, '10.9.0.2'], ['10.9.0.2']);
  expect(heirs.all).toHaveLength(256);
  expect(heirs.all).not.toContain(first);
});
