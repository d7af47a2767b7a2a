import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { hostAnswers } from './host-answers.ts';

const LONG_MS = 20_000;

test('a kernel answers by taking a connection, and by refusing it', async () => {
  const server = createServer();
  const port = await new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : 0);
    });
  });
  expect(await hostAnswers(`127.0.0.1:${port}`, LONG_MS)).toBe(true);
  await new Promise((resolve) => server.close(resolve));
  expect(await hostAnswers(`127.0.0.1:${port}`, LONG_MS)).toBe(true);
});

test('where no connection may lead to nobody answers', async () => {
  expect(await hostAnswers('255.255.255.255:1', LONG_MS)).toBe(false);
});
