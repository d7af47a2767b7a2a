import { expect, test } from 'vitest';
import { networkWishes, taskWeight, validateNetworkLabels } from './network-labels.ts';
import type { ServiceSpec } from './service-spec.ts';
import { validateServiceSpec } from './validate-service.ts';

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
  const allowFrom = (text: string): unknown =>
    networkWishes(service({ 'muster.network.allow-from': text })).allowFrom;
  expect(allowFrom('web, shop_api')).toEqual(['web', 'shop_api']);
  expect(allowFrom('none')).toEqual([]);
  expect(networkWishes(service({ other: 'client' }))).toEqual({});
  const mesh = service({
    'muster.network.mesh-source': 'masquerade',
    'muster.network.mesh-prefer': 'local',
    'muster.network.publish-on': '127.0.0.1, 10.0.0.0/8,eth1,2001:db8::/32',
  });
  expect(() => validateNetworkLabels(mesh)).not.toThrow();
  expect(networkWishes(mesh)).toEqual({
    mesh: {
      masquerade: true,
      preferLocal: true,
      listenOn: ['127.0.0.1', '10.0.0.0/8', 'eth1', '2001:db8::/32'],
    },
  });
  // The labels of placement share the longer prefix only in part.
  expect(() => validateServiceSpec(mesh)).not.toThrow();
  expect(taskWeight(service({}))).toBeUndefined();
});

test.each([
  [service({ 'muster.network.afinity': 'client' }), 'label muster.network.afinity is not known'],
  [service({ 'muster.network.mesh-source': 'x' }), 'must be client or masquerade, not "x"'],
  [service({ 'muster.network.allow-from': 'web,' }), 'names of services, by comma, or none'],
  [service({ 'muster.network.mesh-prefer': '' }), 'must be local or any, not ""'],
  [service({ 'muster.network.publish-on': '10.0.0.256' }), 'not "10.0.0.256"'],
  [service({ 'muster.network.publish-on': '10.0.0.0/33,eth0' }), 'addresses, prefixes or'],
  [service({ 'muster.network.publish-on': 'fd00:::1' }), 'addresses, prefixes or link names'],
  [service({ 'muster.network.publish-on': '' }), 'addresses, prefixes or link names'],
  [service({ 'muster.network.affinity': 'ip' }), 'must be client or none, not "ip"'],
  [service({ 'muster.network.weight': '3' }), 'belongs to the container'],
  [service({}, { 'muster.network.weight': '0' }), 'a whole number from 1 to 100'],
  [service({}, { 'muster.network.weight': 'x' }), 'a whole number from 1 to 100'],
])('what has no meaning is refused', (spec, text) => {
  expect(() => validateNetworkLabels(spec)).toThrow(text);
});
