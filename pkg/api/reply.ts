import type { FastifyReply } from 'fastify';
import type { KeptPieces, PieceRendering } from './kept-pieces.ts';
import { beginStream, writeChunk } from './stream.ts';
import { nextTurn } from './turns.ts';

/** The CLI compares this byte for byte; with a charset it prints the raw JSON of an error. */
const JSON_TYPE = 'application/json';

/** Bytes, because fastify appends a charset to strings. */
export function sendJson(reply: FastifyReply, body: unknown, status = 200): FastifyReply {
  return reply
    .code(status)
    .header('content-type', JSON_TYPE)
    .send(Buffer.from(`${JSON.stringify(body)}\n`));
}

/** Lists up to here are sent in one piece. */
const LIST_MAX = 100;
/** How long the rendering of a longer one may keep everything else from running. */
const SLICE_MS = 2;
/** … and how much of it is handed to the connection at once, which copies it. */
const SLICE_CHARACTERS = 128 * 1024;
const CLOCK_EVERY = 8;

/**
 * A JSON array of any length: long ones are rendered and sent in slices, so that thousands of objects do not hold up
 * the heartbeats of a manager. What `render` looks at must stand still until then, or the list is not of one
 * moment.
 * @param render one object as JSON text
 */
export async function sendJsonList<T>(
  reply: FastifyReply,
  items: readonly T[],
  render: (item: T) => string,
): Promise<FastifyReply> {
  if (items.length > LIST_MAX) return sendInTurns(reply, slices(items, render));
  const bytes = Buffer.from(`[${items.map(render).join(',')}]\n`);
  return reply.code(200).header('content-type', JSON_TYPE).send(bytes);
}

/** The same for lists that are long and asked for often. */
export async function sendKeptList<T extends { readonly id: string }, S>(
  reply: FastifyReply,
  items: readonly T[],
  kept: KeptPieces<T, S>,
  rendering: PieceRendering<T, S>,
): Promise<FastifyReply> {
  if (items.length > LIST_MAX) return sendInTurns(reply, joined(kept.of(items, rendering)));
  return sendJsonList(reply, items, rendering.text);
}

function* slices<T>(items: readonly T[], render: (item: T) => string): Generator<string, void> {
  for (let at = 0; at < items.length; ) {
    const until = performance.now() + SLICE_MS;
    let text = '';
    do {
      for (const end = Math.min(items.length, at + CLOCK_EVERY); at < end; at++) {
        text += `${at === 0 ? '[' : ','}${render(items[at] as T)}`;
      }
    } while (at < items.length && text.length < SLICE_CHARACTERS && performance.now() < until);
    yield at < items.length ? text : `${text}]\n`;
  }
}

/** One array of pieces in which each object has a comma before it. */
function* joined(pieces: Iterable<Uint8Array>): Generator<string | Uint8Array, void> {
  yield '[';
  let first = true;
  for (const bytes of pieces) {
    yield first ? bytes.subarray(1) : bytes;
    first = false;
  }
  yield ']\n';
}

/** Each part is made in a turn of the event loop of its own. */
async function sendInTurns(
  reply: FastifyReply,
  parts: Generator<string | Uint8Array, void>,
): Promise<FastifyReply> {
  await nextTurn();
  // Made before the header is sent: an error becomes an ordinary answer at least for the first of them.
  let part = parts.next();
  const response = beginStream(reply, JSON_TYPE);
  while (!part.done && (await writeChunk(response, part.value))) {
    await nextTurn();
    try {
      part = parts.next();
    } catch (error) {
      // The 200 is out: a cut connection is the only way left to say that this is not all.
      response.destroy();
      throw error;
    }
  }
  response.end();
  return reply;
}

export function sendEmpty(reply: FastifyReply, status: number): FastifyReply {
  return reply.code(status).send();
}

export function errorBody(message: string): Buffer {
  return Buffer.from(`${JSON.stringify({ message })}\n`);
}

export function sendError(
  reply: FastifyReply,
  failure: { readonly status: number; readonly message: string },
): FastifyReply {
  if (failure.status === 304) return reply.code(304).send();
  return reply
    .code(failure.status)
    .header('content-type', JSON_TYPE)
    .send(errorBody(failure.message));
}
