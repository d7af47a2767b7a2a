import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createNamespace, NetworkNamespace, removeNamespace } from '../namespace.ts';
import { NetlinkSocket } from '../socket.ts';
import {
  deletePolicy,
  dumpPolicies,
  parsePolicy,
  putPolicy,
  type SecurityPolicy,
} from './policy.ts';

let folder: string;
const pin = (): string => join(folder, 'ns');

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'xfrm-'));
  createNamespace(pin());
});

afterEach(() => {
  removeNamespace(pin());
  rmSync(folder, { recursive: true });
});

test.each([
  { family: 'IPv4', self: '192.0.2.1', peer: '192.0.2.2', bits: 32, any: '0.0.0.0/0' },
  { family: 'IPv6', self: 'fd00::1', peer: 'fd00::2', bits: 128, any: '::/0' },
])('$family: policies for a peer and for everybody are what ip says they are', (each) => {
  const { self, peer, bits, any } = each;
  const list = (): string =>
    execFileSync('nsenter', [`--net=${pin()}`, 'ip', 'xfrm', 'policy'], { encoding: 'utf8' });
  using namespace = NetworkNamespace.open(pin());
  using socket = namespace.run(() => NetlinkSocket.open('xfrm'));
  const port = { protocol: 17, destinationPort: 4790 };
  const one: SecurityPolicy = {
    direction: 'out',
    selector: { source: self, destination: peer, ...port },
    priority: 5,
    action: 'allow',
    template: { source: self, destination: peer, spi: 0x1234, request: 7 },
  };
  const ban: SecurityPolicy = {
    direction: 'in',
    selector: { ...(each.family === 'IPv6' && { ipv6: true }), ...port },
    priority: 9,
    action: 'block',
  };
  for (const policy of [one, ban]) socket.request(putPolicy(policy));

  const text = list().replaceAll(/\s+/g, ' ');
  expect(text).toContain(
    `src ${self}/${bits} dst ${peer}/${bits} proto udp dport 4790 dir out priority 5`,
  );
  expect(text).toContain(
    `tmpl src ${self} dst ${peer} proto esp spi 0x00001234 reqid 7 mode transport`,
  );
  expect(text).toContain(
    `src ${any} dst ${any} proto udp dport 4790 dir in action block priority 9`,
  );
  const held = socket.dump(dumpPolicies()).flatMap((body) => parsePolicy(body) ?? []);
  expect(held).toHaveLength(2);
  expect(held).toEqual(expect.arrayContaining([one, ban]));

  for (const policy of [one, ban]) socket.request(deletePolicy(policy));
  expect(list()).toBe('');
});
