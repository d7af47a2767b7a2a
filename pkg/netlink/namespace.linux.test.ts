import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openBoundSocket } from './inet-socket.ts';
import {
  createNamespace,
  isNamespacePin,
  NetworkNamespace,
  removeNamespace,
  warmThreadPool,
} from './namespace.ts';
import { changeLink, getLink, newLink, parseLink } from './route/link.ts';
import { NetlinkSocket } from './socket.ts';

let folder: string;
const pin = (): string => join(folder, 'deep', 'ns');
const current = (): string => readlinkSync('/proc/thread-self/ns/net');

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'namespace-'));
});

afterEach(() => {
  removeNamespace(pin());
  rmSync(folder, { recursive: true });
});

test('a namespace is made once, pinned, and gone after removal', () => {
  const home = current();
  expect(createNamespace(pin())).toBe(true);
  expect(createNamespace(pin())).toBe(false);
  expect(isNamespacePin(pin())).toBe(true);
  expect(current()).toBe(home);
  removeNamespace(pin());
  removeNamespace(pin());
  expect(isNamespacePin(pin())).toBe(false);
});

test('run comes home after success and after an exception', () => {
  createNamespace(pin());
  const home = current();
  using namespace = NetworkNamespace.open(pin());
  expect(namespace.run(current)).not.toBe(home);
  expect(() =>
    namespace.run(() => {
      throw new RangeError('inside');
    }),
  ).toThrow('inside');
  expect(current()).toBe(home);
});

test('with a warm pool no thread keeps the foreign namespace', async () => {
  createNamespace(pin());
  await warmThreadPool();
  using namespace = NetworkNamespace.open(pin());
  namespace.run(() => undefined);
  const namespaces = readdirSync('/proc/self/task').map((task) =>
    readlinkSync(`/proc/self/task/${task}/ns/net`),
  );
  expect(new Set(namespaces).size).toBe(1);
});

test('a listening socket opened inside serves inside', async () => {
  createNamespace(pin());
  using namespace = NetworkNamespace.open(pin());
  const { fd, port } = namespace.run(() => {
    using socket = NetlinkSocket.open('route');
    const [lo = Buffer.alloc(16)] = socket.request(getLink('lo'));
    socket.request(changeLink(parseLink(lo).index, { up: true }));
    return openBoundSocket('tcp', '127.0.0.11', 0);
  });
  const server = createServer((connection) => connection.end('inside'));
  await new Promise<void>((resolve) => {
    server.listen({ fd }, resolve);
  });
  const child = `cat < /dev/tcp/127.0.0.11/${port}`;
  const { spawn } = await import('node:child_process');
  const process = spawn('nsenter', [`--net=${pin()}`, 'bash', '-c', child]);
  const text = await new Promise<string>((resolve) => {
    let all = '';
    process.stdout.on('data', (data: Buffer) => {
      all += data.toString();
    });
    process.on('close', () => resolve(all));
  });
  expect(text).toBe('inside');
  await new Promise((resolve) => {
    server.close(resolve);
  });
});

test('a namespace outlives its pin while it is open', () => {
  createNamespace(pin());
  using namespace = NetworkNamespace.open(pin());
  removeNamespace(pin());
  using socket = namespace.run(() => NetlinkSocket.open('route'));
  socket.request(newLink({ kind: 'bridge', name: 'kept' }));
  const links = namespace.run(() => execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' }));
  expect(links).toContain('kept');
});
