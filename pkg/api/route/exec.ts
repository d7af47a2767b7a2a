import type { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import type { AgentContext } from '../context.ts';
import { frame, streamContentType } from '../frames.ts';
import { jsonBody, pathParameter, queryInteger } from '../query.ts';
import { sendEmpty, sendJson } from '../reply.ts';
import { beginStream, writeChunk } from '../stream.ts';

interface ExecStart {
  readonly Detach?: boolean | undefined;
  readonly Tty?: boolean | undefined;
}

export function execRoutes(app: FastifyInstance, { engine }: AgentContext): void {
  app.post('/containers/:id/exec', async (request, reply) => {
    const id = await engine.execs.create(pathParameter(request, 'id'), jsonBody(request));
    return sendJson(reply, { Id: id }, 201);
  });

  app.get('/exec/:id/json', async (request, reply) =>
    sendJson(reply, await engine.execs.inspect(pathParameter(request, 'id'))),
  );

  app.post('/exec/:id/resize', async (request, reply) => {
    const size = {
      rows: queryInteger(request, 'h') ?? 0,
      columns: queryInteger(request, 'w') ?? 0,
    };
    await engine.execs.resize(pathParameter(request, 'id'), size);
    return sendEmpty(reply, 200);
  });

  // Without an upgrade: detached, or only read. The interactive form is in `upgrade.ts`.
  app.post('/exec/:id/start', async (request, reply) => {
    const { Detach = false, Tty = false } = jsonBody<ExecStart>(request);
    const stream = await engine.execs.start(pathParameter(request, 'id'), { tty: Tty });
    stream.stdin.on('error', () => undefined);
    stream.stdin.end();
    if (Detach) {
      stream.close();
      return sendEmpty(reply, 200);
    }
    const response = beginStream(reply, streamContentType(stream.tty));
    response.on('close', () => stream.close());
    const copy = async (from: Readable, name: 'stdout' | 'stderr'): Promise<void> => {
      for await (const chunk of from) {
        const bytes = chunk as Buffer;
        if (!(await writeChunk(response, stream.tty ? bytes : frame(name, bytes)))) return;
      }
    };
    await Promise.all([copy(stream.stdout, 'stdout'), copy(stream.stderr, 'stderr')]);
    response.end();
    return reply;
  });
}
