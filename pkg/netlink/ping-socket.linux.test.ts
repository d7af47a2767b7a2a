import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createNamespace, NetworkNamespace, removeNamespace } from './namespace.ts';
import { PingSocket } from './ping-socket.ts';
import { newAddress } from './route/address.ts';
import { changeLink, newLink } from './route/link.ts';
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

test.each([
  ['IPv4', '192.0.2'],
  ['IPv6', '2001:db8::'],
])('%s: a packet is as large as was said, and never in pieces', async (_, prefix) => {
  const separator = prefix.endsWith(':') ? '' : '.';
  const [near, far] = [1, 2].map((number) => `${prefix}${separator}${number}`);
  createNamespace(`${pin()}2`);
  try {
    using here = NetworkNamespace.open(pin());
    using there = NetworkNamespace.open(`${pin()}2`);
    using socket = here.run(() => NetlinkSocket.open('route'));
    using peer = there.run(() => NetlinkSocket.open('route'));
    socket.request(
      newLink({ kind: 'veth', name: 'eth0', peer: { name: 'eth0', namespaceFd: there.fd } }),
    );
    for (const [end, address] of [
      [socket, near],
      [peer, far],
    ] as const) {
      const link = end.linkIndex('eth0');
      const mtu = end === socket ? 1500 : 1400;
      end.request(changeLink(link, { up: true, mtu }));
      end.request(newAddress({ link, address: `${address}/${separator === '' ? 64 : 24}` }));
    }
    const ask = (bytes: number): PingSocket => here.run(() => PingSocket.send(far ?? '', bytes));
    using fits = ask(1400);
    // One more than the link takes, whole: the other end would put pieces together.
    using large = ask(1501);
    // A question for the neighbour that is lost while links come up is asked again after a second.
    await expect.poll(() => fits.answer(), { timeout: 20_000 }).toBe('answered');
    expect(large.answer()).toBe('EMSGSIZE');
  } finally {
    removeNamespace(`${pin()}2`);
  }
});
