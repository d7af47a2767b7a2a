import { expect, test } from 'vitest';
import { hostPorts } from './network-plan.ts';
import type { ContainerRecord } from './record.ts';

const publishing = (HostIp: string): ContainerRecord =>
  ({
    config: {},
    hostConfig: { PortBindings: { '80/tcp': [{ HostIp, HostPort: '8080' }] } },
  }) as unknown as ContainerRecord;

test('a port is published on all addresses or on one of either family', () => {
  const hostIp = (asked: string): string | undefined => hostPorts(publishing(asked))[0]?.hostIp;
  expect(['', '0.0.0.0', '127.0.0.1', '::', 'FD00:0::1'].map(hostIp)).toEqual([
    undefined,
    '0.0.0.0',
    '127.0.0.1',
    '::',
    'fd00::1',
  ]);
  for (const asked of ['eth0', 'fd00::1/64', '10.0.0.256']) {
    expect(() => hostPorts(publishing(asked))).toThrow(`invalid hostIP: ${asked}`);
  }
});
