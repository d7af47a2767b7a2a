import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Fastify from 'fastify';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ManagerClient } from './forward.ts';
import type { NodeControl } from './node-control.ts';

let folder: string;
let client: ManagerClient;
let agent: Awaited<ReturnType<typeof agentServer>>;
let manager: Server | undefined;
/** The first attempt found nobody. */
let lookedTwice: Promise<void>;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'muster-forward-'));
  lookedTwice = new Promise((resolve) => {
    let looks = 0;
    const socket = (): string => {
      if (++looks === 2) resolve();
      return join(folder, 'manager.sock');
    };
    client = new ManagerClient(socket, {} as NodeControl);
  });
  agent = await agentServer();
});

afterEach(async () => {
  client.close();
  await agent.close();
  manager?.closeAllConnections();
  manager?.close();
  rmSync(folder, { recursive: true, force: true });
});

async function agentServer(): Promise<{ close(): Promise<void> }> {
  const app = Fastify();
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, payload, parsed) => parsed(null, payload));
  app.all('/*', (asked, reply) => client.forward(asked, reply, () => Promise.resolve(undefined)));
  await app.listen({ path: join(folder, 'agent.sock') });
  return app;
}

/** A manager that answers with the body it got; `drops` of its first requests end in its death instead. */
function startManager(drops = 0): { readonly seen: string[] } {
  const seen: string[] = [];
  manager = createServer((asked, answer) => {
    void textOf(asked).then((text) => {
      seen.push(`${asked.method} ${text}`);
      if (seen.length <= drops) asked.socket.destroy();
      else answer.end(text);
    });
  });
  manager.listen(join(folder, 'manager.sock'));
  return { seen };
}

async function textOf(message: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function ask(
  method: string,
  body = '',
): Promise<{ readonly status: number; readonly text: string }> {
  const socketPath = join(folder, 'agent.sock');
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method, path: '/services' }, (answer) => {
      textOf(answer).then((text) => resolve({ status: answer.statusCode ?? 0, text }), reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

test('a write that finds no manager waits for the one that is being started', async () => {
  const answer = ask('POST', 'body');
  await lookedTwice;
  const { seen } = startManager();
  expect(await answer).toEqual({ status: 200, text: 'body' });
  expect(seen).toEqual(['POST body']);
});

test('a read whose manager dies over it is asked again', async () => {
  const { seen } = startManager(1);
  expect((await ask('GET')).status).toBe(200);
  expect(seen).toEqual(['GET ', 'GET ']);
});

test('a write that reached a manager is not sent twice', async () => {
  const { seen } = startManager(1);
  const { status, text } = await ask('POST', 'body');
  expect(status).toBe(503);
  expect(text).toContain('the manager of this host does not answer');
  expect(text).toContain('look, and ask again if it was not');
  expect(seen).toEqual(['POST body']);
});
