import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { AgentContext } from '../context.ts';
import type { ContainerLogRecord, ContainerLogStream, DockerJson, PathStat } from '../engine.ts';
import { invalid } from '../failure.ts';
import { frame, logFailure, streamContentType } from '../frames.ts';
import {
  pathParameter,
  queryFlag,
  queryInteger,
  queryTail,
  queryText,
  queryTimeNs,
} from '../query.ts';
import { sendEmpty, sendJson } from '../reply.ts';
import { abortOnClose, beginStream, streamItems, writeAll, writeChunk } from '../stream.ts';
import { nanoTimeText } from '../wire/time.ts';

/** What flows in and out of this host's containers. Upgraded connections are in `upgrade.ts`. */
export function containerStreamRoutes(app: FastifyInstance, context: AgentContext): void {
  logsRoute(app, context);
  statsRoute(app, context);
  archiveRoutes(app, context);
  const { containers } = context.engine;

  app.post('/containers/:id/resize', async (request, reply) => {
    const size = {
      rows: queryInteger(request, 'h') ?? 0,
      columns: queryInteger(request, 'w') ?? 0,
    };
    await containers.resize(pathParameter(request, 'id'), size);
    return sendEmpty(reply, 200);
  });

  app.get('/containers/:id/export', async (request, reply) => {
    const tar = await containers.exportTar(pathParameter(request, 'id'));
    return reply.header('content-type', 'application/x-tar').send(tar);
  });

  // Clients that attach without asking for an upgrade can only read.
  app.post('/containers/:id/attach', async (request, reply) => {
    const stream = await containers.attach(pathParameter(request, 'id'), { stdin: false });
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

function logsRoute(app: FastifyInstance, { engine }: AgentContext): void {
  app.get('/containers/:id/logs', async (request, reply) => {
    const stdout = queryFlag(request, 'stdout');
    const stderr = queryFlag(request, 'stderr');
    if (!stdout && !stderr) {
      throw invalid('Bad parameters: you must choose at least one stream');
    }
    const logs = await engine.containers.logs(pathParameter(request, 'id'), {
      follow: queryFlag(request, 'follow'),
      stdout,
      stderr,
      sinceNs: queryTimeNs(request, 'since'),
      untilNs: queryTimeNs(request, 'until'),
      tail: queryTail(request),
      signal: abortOnClose(reply),
    });
    return await sendContainerLogs(reply, logs, queryFlag(request, 'timestamps'));
  });
}

async function sendContainerLogs(
  reply: FastifyReply,
  { tty, records }: ContainerLogStream,
  timestamps: boolean,
): Promise<FastifyReply> {
  const line = (record: ContainerLogRecord): Uint8Array => {
    const bytes = timestamps
      ? Buffer.concat([Buffer.from(`${nanoTimeText(record.timeNs)} `), record.data])
      : record.data;
    return tty ? bytes : frame(record.stream, bytes);
  };
  const failed = (message: string): Uint8Array => logFailure(tty, message);
  await writeAll(beginStream(reply, streamContentType(tty)), records, line, failed);
  return reply;
}

function statsRoute(app: FastifyInstance, { engine }: AgentContext): void {
  app.get('/containers/:id/stats', async (request, reply) => {
    const id = pathParameter(request, 'id');
    const oneShot = queryFlag(request, 'one-shot');
    const stream = queryFlag(request, 'stream', true) && !oneShot;
    const signal = abortOnClose(reply);
    if (stream) {
      const json = (value: unknown): string => `${JSON.stringify(value)}\n`;
      return await streamItems(reply, engine.containers.stats(id, { signal }), {
        contentType: 'application/json',
        render: json,
        failed: (message) => json({ message }),
      });
    }
    return sendJson(
      reply,
      await someSample(engine.containers.stats(id, { signal }), oneShot ? 1 : 2),
    );
  });
}

/** The n-th sample: CPU use is a difference, so the CLI's `--no-stream` needs the second. */
async function someSample(samples: AsyncIterable<DockerJson>, nth: number): Promise<DockerJson> {
  let last: DockerJson = {};
  let count = 0;
  for await (const sample of samples) {
    last = sample;
    count += 1;
    if (count === nth) break;
  }
  return last;
}

function archiveRoutes(app: FastifyInstance, { engine }: AgentContext): void {
  const { containers } = engine;
  app.head('/containers/:id/archive', async (request, reply) => {
    const path = queryText(request, 'path') ?? '';
    const stat = await containers.archiveStat(pathParameter(request, 'id'), path);
    return reply.header('x-docker-container-path-stat', statHeader(stat)).send();
  });

  app.get('/containers/:id/archive', { exposeHeadRoute: false }, async (request, reply) => {
    const path = queryText(request, 'path') ?? '';
    const { stat, tar } = await containers.archiveGet(pathParameter(request, 'id'), path);
    return reply
      .headers({
        'x-docker-container-path-stat': statHeader(stat),
        'content-type': 'application/x-tar',
      })
      .send(tar);
  });

  app.put('/containers/:id/archive', async (request, reply) => {
    if (!(request.body instanceof Readable)) throw invalid('expected a tar archive');
    const path = queryText(request, 'path') ?? '';
    await containers.archivePut(pathParameter(request, 'id'), path, request.body);
    return sendEmpty(reply, 200);
  });
}

function statHeader(stat: PathStat): string {
  return Buffer.from(JSON.stringify(stat)).toString('base64');
}
