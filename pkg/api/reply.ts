import type { FastifyReply } from 'fastify';

/** The CLI compares this byte for byte; with a charset it prints the raw JSON of an error. */
const JSON_TYPE = 'application/json';

/** Bytes, because fastify appends a charset to strings. */
export function sendJson(reply: FastifyReply, body: unknown, status = 200): FastifyReply {
  return reply
    .code(status)
    .header('content-type', JSON_TYPE)
    .send(Buffer.from(`${JSON.stringify(body)}\n`));
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
