import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';
import { errorMessage } from '../model/index.ts';

/** Aborts when the client has gone. */
export function abortOnClose(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.on('close', () => controller.abort());
  return controller.signal;
}

/** Sends the header at once (clients wait for it) and lets the caller write the body. */
export function beginStream(reply: FastifyReply, contentType: string): ServerResponse {
  reply.hijack();
  const headers = Object.entries(reply.getHeaders()).filter(([, value]) => value !== undefined);
  reply.raw.writeHead(200, { ...Object.fromEntries(headers), 'content-type': contentType });
  reply.raw.flushHeaders();
  return reply.raw;
}

/** One chunk, waiting for a slow reader; false when the client has gone. */
export async function writeChunk(
  response: ServerResponse,
  chunk: string | Uint8Array,
): Promise<boolean> {
  if (response.destroyed || response.writableEnded) return false;
  if (response.write(chunk)) return true;
  await drained(response);
  return !response.destroyed;
}

/** When more may be written, or never will be. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      response.off('drain', done);
      response.off('close', done);
      resolve();
    };
    response.on('drain', done);
    response.on('close', done);
  });
}

/**
 * Writes each item as it comes and ends the response. The 200 has been sent by then, so `failed` turns an error
 * into the last words of the stream.
 */
export async function writeAll<T>(
  response: ServerResponse,
  items: AsyncIterable<T>,
  render: (item: T) => string | Uint8Array,
  failed: (message: string) => string | Uint8Array,
): Promise<void> {
  try {
    for await (const item of items) {
      if (!(await writeChunk(response, render(item)))) return;
    }
  } catch (error) {
    if (!response.destroyed) response.write(failed(errorMessage(error)));
  }
  response.end();
}

export interface LineRendering<T> {
  readonly contentType: string;
  readonly render: (item: T) => string | Uint8Array;
  readonly failed: (message: string) => string | Uint8Array;
}

/**
 * Streams items as they come. The first is awaited before the header is sent: a failure until then is thrown and
 * becomes an ordinary error response.
 */
export async function streamItems<T>(
  reply: FastifyReply,
  items: AsyncIterable<T>,
  { contentType, render, failed }: LineRendering<T>,
): Promise<FastifyReply> {
  const iterator = items[Symbol.asyncIterator]();
  const first = await iterator.next();
  const response = beginStream(reply, contentType);
  if (first.done) {
    response.end();
    return reply;
  }
  await writeChunk(response, render(first.value));
  await writeAll(response, { [Symbol.asyncIterator]: () => iterator }, render, failed);
  return reply;
}
