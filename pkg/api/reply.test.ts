import Fastify from 'fastify';
import { expect, test } from 'vitest';
import { sendJsonList } from './reply.ts';

/** What a client gets of a list of `count` objects, each of which takes `ms` to render. */
async function listed(
  count: number,
  ms: number,
): Promise<{ readonly status: number; readonly type: unknown; readonly text: string }> {
  const app = Fastify();
  app.get('/list', (_request, reply) =>
    sendJsonList(
      reply,
      Array.from({ length: count }, (_, at) => at),
      (at) => {
        for (const until = performance.now() + ms; performance.now() < until; );
        return JSON.stringify({ at });
      },
    ),
  );
  const { statusCode, headers, body } = await app.inject('/list');
  await app.close();
  return { status: statusCode, type: headers['content-type'], text: body };
}

test.each([0, 1, 100, 101, 1000])('a list of %i objects is one JSON array', async (count) => {
  const { status, type, text } = await listed(count, 0);
  expect([status, type]).toEqual([200, 'application/json']);
  expect(JSON.parse(text)).toEqual(Array.from({ length: count }, (_, at) => ({ at })));
});

test('other work has its turns while a long list is made', async () => {
  let turns = 0;
  let over = false;
  const count = (): void => {
    turns++;
    if (!over) setImmediate(count);
  };
  setImmediate(count);
  const { text } = await listed(400, 0.5);
  over = true;
  expect(JSON.parse(text)).toHaveLength(400);
  // 200 ms in slices of a few.
  expect(turns).toBeGreaterThan(20);
});
