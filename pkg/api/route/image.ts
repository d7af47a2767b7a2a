import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { AgentContext } from '../context.ts';
import type { DockerJson, ProgressMessage, RegistryAuth } from '../engine.ts';
import { invalid } from '../failure.ts';
import { type Filters, flagFilter, parseFilters } from '../filters.ts';
import { jsonBody, pathParameter, queryFlag, queryText, queryTexts } from '../query.ts';
import { registryAuth } from '../registry-auth.ts';
import { sendEmpty, sendJson } from '../reply.ts';
import { abortOnClose, streamItems } from '../stream.ts';

type Labels = Readonly<Record<string, string>> | null | undefined;

const LIST_FILTERS = ['before', 'dangling', 'label', 'reference', 'since', 'until'];
const PRUNE_FILTERS = ['dangling', 'label', 'label!', 'until'];

/** Names of images contain slashes: everything after the first segment is the name, up to a known last word. */
export function imageRoutes(app: FastifyInstance, context: AgentContext): void {
  listRoutes(app, context);
  transferRoutes(app, context);
  namedRoutes(app, context);
}

function listRoutes(app: FastifyInstance, { engine }: AgentContext): void {
  const { images } = engine;
  app.get('/images/json', async (request, reply) => {
    const filters = parseFilters(queryText(request, 'filters'), LIST_FILTERS);
    const list = await images.list({ all: queryFlag(request, 'all') });
    return sendJson(
      reply,
      list.filter((image) => matches(image, filters)),
    );
  });

  app.post('/images/prune', async (request, reply) => {
    const filters = parseFilters(queryText(request, 'filters'), PRUNE_FILTERS);
    const { deleted, spaceReclaimed } = await images.prune({
      dangling: flagFilter(filters, 'dangling') ?? true,
      keep: (image) => {
        const labels = image['Labels'] as Labels;
        return !filters.labels('label', labels) || !filters.withoutLabels(labels);
      },
    });
    return sendJson(reply, { ImagesDeleted: deleted, SpaceReclaimed: spaceReclaimed });
  });
}

function matches(image: DockerJson, filters: Filters): boolean {
  const tags = (image['RepoTags'] as readonly string[] | null | undefined) ?? [];
  const dangling = flagFilter(filters, 'dangling');
  return (
    filters.labels('label', image['Labels'] as Labels) &&
    (dangling === undefined || dangling === (tags.length === 0)) &&
    filters.any('reference', (value) => tags.some((tag) => matchesReference(tag, value)))
  );
}

/** Shell pattern over `name:tag`, or over the name alone. */
function matchesReference(tag: string, asked: string): boolean {
  const escaped = asked.replace(/[.+^${}()|\\]/g, '\\$&');
  const pattern = new RegExp(`^${escaped.replaceAll('*', '[^/]*').replaceAll('?', '[^/]')}$`);
  const familiar = tag.replace(/^docker\.io\/(library\/)?/, '');
  return [tag, familiar].some(
    (name) => pattern.test(name) || pattern.test(name.replace(/:[^/:]*$/, '')),
  );
}

function transferRoutes(app: FastifyInstance, { engine }: AgentContext): void {
  const { images } = engine;
  app.post('/images/create', async (request, reply) => {
    const source = queryText(request, 'fromSrc');
    if (source !== undefined && source !== '') return await importImage(request, reply, engine);
    const reference = joinTag(queryText(request, 'fromImage') ?? '', queryText(request, 'tag'));
    if (reference === '') throw invalid('invalid reference format');
    const auth = registryAuth(request);
    const platform = queryText(request, 'platform') || undefined;
    const messages = images.pull(reference, { auth, platform, signal: abortOnClose(reply) });
    return await sendProgress(reply, messages);
  });

  app.post('/images/load', async (request, reply) => {
    if (!(request.body instanceof Readable)) throw invalid('expected a tar archive');
    return await sendProgress(reply, images.load(request.body, abortOnClose(reply)));
  });

  app.get('/images/get', async (request, reply) => {
    const names = queryTexts(request, 'names');
    const tar = await images.save(names);
    return reply.header('content-type', 'application/x-tar').send(tar);
  });

  app.post('/auth', async (request, reply) => {
    await images.login(jsonBody<RegistryAuth>(request));
    return sendJson(reply, { Status: 'Login Succeeded', IdentityToken: '' });
  });

  app.get('/distribution/*', async (request, reply) => {
    const { name, verb } = splitName(request);
    if (verb !== 'json') return sendJson(reply, { message: 'page not found' }, 404);
    return sendJson(reply, await images.distribution(name, registryAuth(request)));
  });
}

async function importImage(
  request: FastifyRequest,
  reply: FastifyReply,
  { images }: AgentContext['engine'],
): Promise<FastifyReply> {
  if (!(request.body instanceof Readable)) throw invalid('expected a tar archive');
  const messages = images.importTar(request.body, {
    reference: joinTag(queryText(request, 'repo') ?? '', queryText(request, 'tag')) || undefined,
    message: queryText(request, 'message') || undefined,
    changes: queryTexts(request, 'changes'),
    signal: abortOnClose(reply),
  });
  return await sendProgress(reply, messages);
}

function namedRoutes(app: FastifyInstance, { engine }: AgentContext): void {
  const { images } = engine;
  app.get('/images/*', async (request, reply) => {
    const { name, verb } = splitName(request);
    if (verb === 'json') return sendJson(reply, await images.inspect(name));
    if (verb === 'history') return sendJson(reply, await images.history(name));
    if (verb === 'get') {
      return reply.header('content-type', 'application/x-tar').send(await images.save([name]));
    }
    return sendJson(reply, { message: 'page not found' }, 404);
  });

  app.post('/images/*', async (request, reply) => {
    const { name, verb } = splitName(request);
    if (verb === 'tag') {
      await images.tag(name, joinTag(queryText(request, 'repo') ?? '', queryText(request, 'tag')));
      return sendEmpty(reply, 201);
    }
    if (verb !== 'push') return sendJson(reply, { message: 'page not found' }, 404);
    const reference = joinTag(name, queryText(request, 'tag'));
    const options = { auth: registryAuth(request), signal: abortOnClose(reply) };
    return await sendProgress(reply, images.push(reference, options));
  });

  app.delete('/images/*', async (request, reply) => {
    const options = { force: queryFlag(request, 'force'), noPrune: queryFlag(request, 'noprune') };
    return sendJson(reply, await images.remove(pathParameter(request, '*'), options));
  });
}

function splitName(request: FastifyRequest): { readonly name: string; readonly verb: string } {
  const rest = pathParameter(request, '*');
  const at = rest.lastIndexOf('/');
  return { name: rest.slice(0, Math.max(0, at)), verb: rest.slice(at + 1) };
}

/** `busybox` and `1.36` are `busybox:1.36`; a digest is joined with `@`. */
function joinTag(name: string, tag: string | undefined): string {
  if (name === '' || !tag) return name;
  return tag.includes(':') ? `${name}@${tag}` : `${name}:${tag}`;
}

/** A failure before the first object is an ordinary error response; later ones are told in the stream. */
function sendProgress(
  reply: FastifyReply,
  messages: AsyncIterable<ProgressMessage>,
): Promise<FastifyReply> {
  const line = (message: ProgressMessage): string => `${JSON.stringify(message)}\r\n`;
  return streamItems(reply, messages, {
    contentType: 'application/json',
    render: line,
    failed: (error) => line({ errorDetail: { message: error }, error }),
  });
}
