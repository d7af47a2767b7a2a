import { expect, test } from 'vitest';
import { hostPorts } from './network-plan.ts';
import type { ContainerRecord } from './record.ts';

const publishing = (HostIp: string): ContainerRecord =>
  ({
    config: {},
    hostConfig: { PortBindings: { '80/tcp': [{ HostIp, HostPort: '8080' }] } },
  }) as unknown as ContainerRecord;

test('a port is published on all addresses or on one of IPv4; one of IPv6 is refused', () => {
  const hostIp = (asked: string): string | undefined => hostPorts(publishing(asked))[0]?.hostIp;
  expect(['', '0.0.0.0', '127.0.0.1', '::'].map(hostIp)).toEqual([
    undefined,
    undefined,
    '127.0.0.1',
    '::',
  ]);
  expect(() => hostPorts(publishing('fd00::1'))).toThrow(
    'publishing port 80/tcp on fd00::1 is not supported by this version: ports are published on IPv4 addresses',
  );
});
