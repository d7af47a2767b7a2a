import { closeSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readChecksumOffload, setChecksumOffload } from './checksum-offload.ts';
import { ConnectProbe } from './connect-probe.ts';
import { openBoundSocket } from './inet-socket.ts';
import { createNamespace, NetworkNamespace, removeNamespace } from './namespace.ts';
import { changeLink, newLink } from './route/link.ts';
import { NetlinkSocket } from './socket.ts';

let folder: string;
const pin = (): string => join(folder, 'ns');

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'checksum-'));
  createNamespace(pin());
});

afterEach(() => {
  removeNamespace(pin());
  rmSync(folder, { recursive: true });
});

function listening(): Disposable & { readonly port: number } {
  const { fd, port } = openBoundSocket('tcp', '127.0.0.1', 0);
  return { port, [Symbol.dispose]: () => closeSync(fd) };
}

test('checksum offload of a link is switched off and on, and a link that is not there is named', () => {
  using namespace = NetworkNamespace.open(pin());
  using socket = namespace.run(() => NetlinkSocket.open('route'));
  socket.request(
    newLink({ kind: 'vxlan', name: 'vx0', vni: 42, local: '192.0.2.1', port: 4789, mtu: 1450 }),
  );
  const seen = [undefined, false, true].map((on) =>
    namespace.run(() => {
      if (on !== undefined) setChecksumOffload('vx0', on);
      return readChecksumOffload('vx0');
    }),
  );
  expect(seen).toEqual([true, false, true]);
  expect(() => namespace.run(() => setChecksumOffload('none', false))).toThrow(
    expect.objectContaining({ code: 'ENODEV' }),
  );
});

test('a connection is answered by whoever takes or refuses it, and a way that is missing is named', async () => {
  using namespace = NetworkNamespace.open(pin());
  using socket = namespace.run(() => NetlinkSocket.open('route'));
  socket.request(changeLink(1, { up: true }));
  using server = namespace.run(() => listening());
  const [taken, refused, lost] = namespace.run(() =>
    [
      ['127.0.0.1', server.port],
      ['127.0.0.1', 9],
      ['192.0.2.1', 9],
    ].map(([address, port]) => ConnectProbe.send(String(address), Number(port))),
  );
  await expect
    .poll(() => [taken?.answer(), refused?.answer()], { timeout: 20_000 })
    .toEqual(['answered', 'answered']);
  expect(lost?.answer()).toBe('ENETUNREACH');
  for (const probe of [taken, refused, lost]) probe?.[Symbol.dispose]();
});
