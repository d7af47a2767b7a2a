import { expect, test } from 'vitest';
import { networkWishes, taskWeight, validateNetworkLabels } from './network-labels.ts';
import type { ServiceSpec } from './service-spec.ts';

const service = (
  labels: Record<string, string>,
  container: Record<string, string> = {},
): ServiceSpec => ({
  Name: 'web',
  Labels: labels,
  TaskTemplate: { ContainerSpec: { Image: 'x', Labels: container } },
});

test('labels say how a service is reached', () => {
  const spec = service({ 'muster.network.affinity': 'client' }, { 'muster.network.weight': '3' });
  expect(() => validateNetworkLabels(spec)).not.toThrow();
  expect(networkWishes(spec)).toEqual({ affinity: 'client' });
  expect(taskWeight(spec)).toBe(3);
  expect(networkWishes(service({ other: 'client' }))).toEqual({});
  expect(taskWeight(service({}))).toBeUndefined();
});

test.each([
  [service({ 'muster.network.afinity': 'client' }), 'unknown label muster.network.afinity'],
  [service({ 'muster.network.affinity': 'ip' }), 'must be client or none, not "ip"'],
  [service({ 'muster.network.weight': '3' }), 'belongs to the container'],
  [service({}, { 'muster.network.weight': '0' }), 'a whole number from 1 to 100'],
  [service({}, { 'muster.network.weight': 'x' }), 'a whole number from 1 to 100'],
])('what has no meaning is refused', (spec, text) => {
  expect(() => validateNetworkLabels(spec)).toThrow(text);
});
