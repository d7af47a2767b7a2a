import { once } from 'node:events';
import { createConnection } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Setup, setUp } from '../docker-cli/setup.ts';
import { type Answer, ask, type Call } from './http.ts';

let setup: Setup;
beforeAll(async () => {
  setup = await setUp();
});
afterAll(async () => {
  await setup[Symbol.asyncDispose]();
});

const call = (path: string, options?: Call): Promise<Answer> =>
  ask(setup.socketPath, path, options);

const SPEC = { TaskTemplate: { ContainerSpec: { Image: 'busybox' } } };

test.each(['GET', 'HEAD'])('%s /_ping carries the negotiation headers', async (method) => {
  const { status, headers, text } = await call('/_ping', { method });
  expect(status).toBe(200);
  expect(text).toBe(method === 'GET' ? 'OK' : '');
  expect(headers).toMatchObject({
    'api-version': '1.50',
    ostype: 'linux',
    'docker-experimental': 'false',
    server: 'Docker/0.1.0 (linux)',
    swarm: 'active/manager',
    'content-type': 'text/plain; charset=utf-8',
    'cache-control': 'no-cache, no-store, must-revalidate',
  });
});

test.each([
  ['/v9.9/info', 400, 'client version 9.9 is too new. Maximum supported API version is 1.50'],
  ['/v1.10/nodes', 400, 'client version 1.10 is too old. Minimum supported API version is 1.24'],
  ['/nothing/here', 404, 'page not found'],
  ['/services/nowhere', 404, 'service nowhere not found'],
  ['/services?filters={"colour":["red"]}', 400, "invalid filter 'colour'"],
  ['/services?filters={', 400, 'invalid filter'],
  ['/tasks?filters={"desired-state":["asleep"]}', 400, 'invalid filter'],
])('GET %s answers %i', async (path, status, message) => {
  const answer = await call(encodeURI(path));
  expect(answer.status).toBe(status);
  expect(answer.headers['content-type']).toBe('application/json');
  expect(answer.headers['api-version']).toBe('1.50');
  expect((answer.json as { message: string }).message).toContain(message);
});

test.each(['', '/v1.24', '/v1.41', '/v1.50'])('paths begin with "%s"', async (prefix) => {
  expect(await call(`${prefix}/services`)).toMatchObject({ status: 200, json: [] });
});

test('a body that is no JSON is refused, null members are not', async () => {
  const bad = await call('/configs/create', { text: '{' });
  expect(bad.status).toBe(400);
  expect(bad.text).toContain('invalid JSON');
  const body = {
    ...SPEC,
    Name: 'nulls',
    Labels: null,
    Networks: null,
    EndpointSpec: null,
    Mode: null,
  };
  expect(await call('/services/create', { body })).toMatchObject({
    text: expect.stringContaining('ID'),
    status: 201,
  });
  const { json } = await call('/services/nulls');
  expect(json).toMatchObject({ Spec: { Mode: { Replicated: { Replicas: 1 } } } });
});

test('unknown fields of a spec come back', async () => {
  const body = { ...SPEC, Name: 'odd', TaskTemplate: { ...SPEC.TaskTemplate, Invented: { a: 1 } } };
  await call('/services/create', { body });
  expect((await call('/services/odd')).json).toMatchObject({
    Spec: { TaskTemplate: { Invented: { a: 1 } } },
  });
});

test('filters come in two encodings, by prefix and by label', async () => {
  await call('/secrets/create', { body: { Name: 'alpha', Data: 'eA==', Labels: { a: 'b' } } });
  await call('/secrets/create', { body: { Name: 'alphabet', Data: 'eA==' } });
  const names = async (filters: object): Promise<readonly string[]> => {
    const path = `/secrets?filters=${encodeURIComponent(JSON.stringify(filters))}`;
    const { json } = await call(path);
    return (json as { Spec: { Name: string } }[]).map(({ Spec }) => Spec.Name);
  };
  expect(await names({ name: ['alpha'] })).toEqual(['alpha', 'alphabet']);
  expect(await names({ name: { alpha: true } })).toEqual(['alpha', 'alphabet']);
  expect(await names({ names: ['alpha'] })).toEqual(['alpha']);
  expect(await names({ label: ['a=b'] })).toEqual(['alpha']);
  expect(await names({ label: ['a=c'] })).toEqual([]);
});

test('concurrent edits of one spec conflict, status writes do not', async () => {
  await call('/services/create', { body: { ...SPEC, Name: 'raced' } });
  const { json } = await call('/services/raced');
  const { ID, Version } = json as { ID: string; Version: { Index: number } };
  const edit = (label: string): Promise<Answer> =>
    call(`/services/${ID}/update?version=${Version.Index}`, {
      body: { ...SPEC, Name: 'raced', Labels: { label } },
    });
  setup.cluster.touchService('raced');
  expect((await edit('first')).status).toBe(200);
  const second = await edit('second');
  expect(second.status).toBe(500);
  expect((second.json as { message: string }).message).toContain('update out of sequence');
  expect((await call(`/services/${ID}/update?version=x`, { body: SPEC })).status).toBe(400);
});

test('renaming a service or changing its mode is not implemented', async () => {
  await call('/services/create', { body: { ...SPEC, Name: 'fixed' } });
  const { json } = await call('/services/fixed');
  const path = `/services/fixed/update?version=${(json as { Version: { Index: number } }).Version.Index}`;
  expect((await call(path, { body: { ...SPEC, Name: 'other' } })).status).toBe(501);
  const global = { ...SPEC, Name: 'fixed', Mode: { Global: {} } };
  expect((await call(path, { body: global })).status).toBe(501);
});

test('a secret is changed in its labels only', async () => {
  const { json } = await call('/secrets/create', { body: { Name: 'sealed', Data: 'eA==' } });
  const { ID } = json as { ID: string };
  const version = async (): Promise<number> => {
    const answer = await call(`/secrets/${ID}`);
    return (answer.json as { Version: { Index: number } }).Version.Index;
  };
  const path = async (): Promise<string> => `/secrets/${ID}/update?version=${await version()}`;
  const labels = { Name: 'sealed', Labels: { a: 'b' } };
  expect((await call(await path(), { body: labels })).status).toBe(200);
  const data = { Name: 'sealed', Data: 'eQ==' };
  const refused = await call(await path(), { body: data });
  expect(refused.status).toBe(400);
  expect(refused.text).toContain('only updates to Labels are allowed');
});

test('the header of wait and of events comes before anything happens', async () => {
  const { json } = await call('/containers/create', { body: { Image: 'busybox', Cmd: ['cat'] } });
  const { Id } = json as { Id: string };
  for (const request of [`POST /containers/${Id}/wait?condition=next-exit`, 'GET /events']) {
    const socket = createConnection(setup.socketPath);
    socket.write(`${request} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`);
    const [head] = (await once(socket, 'data')) as [Buffer];
    expect(head.toString()).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    socket.destroy();
  }
});

test('an upgrade answers 101 and keeps sending after the client has finished', async () => {
  const { json } = await call('/containers/create', { body: { Image: 'busybox', Cmd: ['cat'] } });
  const { Id } = json as { Id: string };
  const socket = createConnection({ path: setup.socketPath, allowHalfOpen: true });
  const query = 'stream=1&stdin=1&stdout=1&stderr=1';
  socket.write(
    `POST /v1.50/containers/${Id}/attach?${query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n`,
  );
  const [head] = (await once(socket, 'data')) as [Buffer];
  expect(head.toString()).toMatch(
    /^HTTP\/1\.1 101 UPGRADED\r\nContent-Type: application\/vnd\.docker\.multiplexed-stream\r\n/,
  );
  await call(`/containers/${Id}/start`, { method: 'POST' });
  socket.end('abc');
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  expect(Buffer.concat(chunks)).toEqual(Buffer.from('\x01\0\0\0\0\0\0\x03abc'));
});

test('an upgrade for what is not there is an ordinary error', async () => {
  const socket = createConnection(setup.socketPath);
  socket.write(
    'POST /containers/nowhere/attach?stream=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n',
  );
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  const text = Buffer.concat(chunks).toString();
  expect(text).toMatch(/^HTTP\/1\.1 404 /);
  expect(text).toContain('{"message":"No such container: nowhere"}');
});

test('archives larger than any JSON body are taken', async () => {
  const archive = Buffer.alloc(6_000_000);
  const { status, text } = await call('/images/load', { archive });
  expect(status).toBe(200);
  expect(JSON.parse(text)).toEqual({ stream: 'Loaded 6000000 bytes\n' });
});

test('a JSON body beyond the limit is refused', async () => {
  const body = { Name: 'huge', Data: 'A'.repeat(5_000_000) };
  expect((await call('/configs/create', { body })).status).toBe(413);
});
