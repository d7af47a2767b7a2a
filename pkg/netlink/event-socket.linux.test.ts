import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { EventSocket, type KernelEvent } from './event-socket.ts';
import { createNamespace, NetworkNamespace, removeNamespace } from './namespace.ts';
import { getLink, parseLink } from './route/link.ts';
import { identifyNamespace } from './route/namespace-id.ts';
import { putFdbEntry } from './route/neighbour.ts';
import { NetlinkSocket } from './socket.ts';

let folder: string;
let here: NetworkNamespace;
let there: NetworkNamespace;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'events-'));
  [here, there] = ['here', 'there'].map((name) => {
    createNamespace(join(folder, name));
    return NetworkNamespace.open(join(folder, name));
  }) as [NetworkNamespace, NetworkNamespace];
});

afterEach(() => {
  for (const [name, namespace] of Object.entries({ here, there })) {
    namespace[Symbol.dispose]();
    removeNamespace(join(folder, name));
  }
  rmSync(folder, { recursive: true });
});

function run(namespace: 'here' | 'there', program: string, ...words: readonly string[]): void {
  execFileSync('nsenter', [`--net=${join(folder, namespace)}`, program, ...words]);
}

function listen(source: 'route' | 'nftables'): EventSocket {
  return here.run(() => EventSocket.open(source));
}

function idOfThere(): number {
  using socket = here.run(() => NetlinkSocket.open('route'));
  return identifyNamespace(socket, there);
}

function read(socket: EventSocket): readonly KernelEvent[] {
  const events: KernelEvent[] = [];
  expect(socket.read((event) => events.push(event))).toBe(true);
  return events;
}

test.each([
  ['link', 'ip', 'link', 'add', 'br1', 'type', 'bridge'],
  ['address', 'ip', 'addr', 'add', '192.0.2.9/32', 'dev', 'br0'],
  ['route', 'ip', 'route', 'add', '198.51.100.0/24', 'dev', 'br0'],
  ['rule', 'ip', 'rule', 'add', 'fwmark', '7', 'table', '7'],
  ['neighbour', 'ip', 'neigh', 'add', '192.0.2.7', 'lladdr', '02:00:00:00:00:07', 'dev', 'br0'],
  ['neighbour', 'bridge', 'fdb', 'add', '02:00:00:00:00:07', 'dev', 'br0', 'self', 'local'],
  ['address', 'ip', 'addr', 'add', 'fd00:9::1/64', 'dev', 'br0'],
  ['route', 'ip', 'route', 'add', '2001:db8::/32', 'dev', 'br0', 'proto', 'boot'],
  ['rule', 'ip', '-6', 'rule', 'add', 'fwmark', '7', 'table', '77'],
  ['nftables', 'nft', 'add', 'table', 'ip', 'some-table'],
])('a change of a %s is told, here and in a namespace that has an identifier', (kind, ...words) => {
  const id = idOfThere();
  for (const name of ['here', 'there'] as const) {
    run(name, 'ip', 'link', 'add', 'br0', 'type', 'bridge');
    run(name, 'ip', 'link', 'set', 'br0', 'up');
  }
  using socket = listen(kind === 'nftables' ? 'nftables' : 'route');
  const [program = '', ...rest] = words;
  run('here', program, ...rest);
  expect(read(socket)).toContainEqual(expect.objectContaining({ kind, namespaceId: undefined }));
  run('there', program, ...rest);
  const events = read(socket);
  expect(events).toContainEqual(expect.objectContaining({ kind, namespaceId: id }));
  expect(read(socket)).toEqual([]);
  if (kind === 'nftables') expect(events).toMatchObject([{ table: 'some-table' }]);
  if (kind === 'route') expect(events).toContainEqual(expect.objectContaining({ protocol: 3 }));
});

test('an identifier is the same each time, and who has none is not heard', () => {
  using socket = listen('route');
  run('there', 'ip', 'link', 'add', 'br0', 'type', 'bridge');
  expect(read(socket)).toEqual([]);
  expect(idOfThere()).toBe(idOfThere());
});

test('what did not fit the queue is not passed over in silence', () => {
  run('here', 'ip', 'link', 'add', 'br0', 'type', 'bridge');
  run('here', 'ip', 'link', 'add', 'v0', 'master', 'br0', 'type', 'veth');
  using events = listen('route');
  using socket = here.run(() => NetlinkSocket.open('route'));
  const [answer = Buffer.alloc(16)] = socket.request(getLink('v0'));
  const link = parseLink(answer).index;
  const macs = Array.from(
    { length: 40_000 },
    (_, at) => `02:00:00:00:${byte(at >> 8)}:${byte(at)}`,
  );
  socket.batch(macs.map((mac) => putFdbEntry({ link, mac })));
  let count = 0;
  const complete = events.read(() => {
    count += 1;
  });
  expect(complete).toBe(false);
  expect(count).toBeGreaterThan(1_000);
  expect(events.read(() => undefined)).toBe(true);
});

function byte(value: number): string {
  return (value & 0xff).toString(16).padStart(2, '0');
}
