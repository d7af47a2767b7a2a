import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { jsonLogger } from '../io/index.ts';
import { ClusterError } from '../model/index.ts';
import type { ClusterApi } from './cluster-api.ts';
import { type ApiServer, createApiServer } from './server.ts';

let folder: string;
let server: ApiServer;
/** The request is in its route, and waits for the store; called with what the store says. */
let waits: Promise<(error: Error) => void>;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'muster-api-'));
  let arrived: (refuse: (error: Error) => void) => void;
  waits = new Promise((resolve) => {
    arrived = resolve;
  });
  const store = {
    watch: (): void => undefined,
    barrier: (): Promise<never> => new Promise((_resolve, reject) => arrived(reject)),
  };
  server = await createApiServer({
    cluster: { store } as unknown as ClusterApi,
    log: jsonLogger({ level: 'error', now: () => 0, write: () => undefined }),
    version: '0',
  });
  await server.listen({ path: join(folder, 'sock') });
});

afterEach(async () => {
  await server.close();
  rmSync(folder, { recursive: true, force: true });
});

function ask(): Promise<string> {
  return new Promise((resolve) => {
    const asked = request({ socketPath: join(folder, 'sock'), path: '/configs' }, (answer) => {
      let text = '';
      answer.on('data', (chunk) => {
        text += String(chunk);
      });
      answer.on('end', () => resolve(`${answer.statusCode} ${text}`));
    });
    asked.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    asked.end();
  });
}

test('a request under way is answered before the server closes', async () => {
  const answer = ask();
  const refuse = await waits;
  const closed = server.close(60_000);
  refuse(new ClusterError('unavailable', 'this manager is stopping'));
  expect(await answer).toBe('503 {"message":"this manager is stopping"}\n');
  await closed;
});

test('without a grace it is cut', async () => {
  const answer = ask();
  await waits;
  await server.close();
  expect(await answer).toBe('ECONNRESET');
});
