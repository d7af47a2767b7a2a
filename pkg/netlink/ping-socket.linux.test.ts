import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createNamespace, NetworkNamespace, removeNamespace } from './namespace.ts';
import { PingSocket } from './ping-socket.ts';
import { changeLink } from './route/link.ts';
import { NetlinkSocket } from './socket.ts';

let folder: string;
const pin = (): string => join(folder, 'ns');

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ping-'));
  createNamespace(pin());
});

afterEach(() => {
  removeNamespace(pin());
  rmSync(folder, { recursive: true });
});

test.each([
  ['IPv4', ['127.0.0.1', '127.0.0.1', '192.0.2.1']],
  ['IPv6', ['::1', '0:0::1', '2001:db8::1']],
])(
  '%s: an address answers once and for all, a way that is missing is named, questions are told apart',
  async (_, addresses) => {
    using namespace = NetworkNamespace.open(pin());
    using socket = namespace.run(() => NetlinkSocket.open('route'));
    // The loopback link is always the first.
    socket.request(changeLink(1, { up: true }));
    const [one, two, lost] = namespace.run(() => addresses.map((each) => PingSocket.send(each)));
    if (!one || !two || !lost) throw new Error('three questions');
    await expect.poll(() => [one.answer(), two.answer()]).toEqual(['answered', 'answered']);
    expect([one.answer(), lost.answer(), lost.answer()]).toEqual([
      'answered',
      'ENETUNREACH',
      'ENETUNREACH',
    ]);
    for (const ping of [one, two, lost]) ping[Symbol.dispose]();
    one[Symbol.dispose]();
  },
);
