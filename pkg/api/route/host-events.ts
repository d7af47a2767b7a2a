import { createInterface } from 'node:readline';
import type { FastifyInstance } from 'fastify';
import type { AgentContext } from '../context.ts';
import { EVENT_FILTERS, matchesEvent, renderEvent } from '../event-stream.ts';
import { type Filters, parseFilters } from '../filters.ts';
import { unversioned } from '../forward.ts';
import { queryText, queryTimeNs } from '../query.ts';
import { abortOnClose, beginStream, writeChunk } from '../stream.ts';

type Response = ReturnType<typeof beginStream>;

/** This host's events and, on a manager, the cluster's. */
export function hostEventRoutes(app: FastifyInstance, context: AgentContext): void {
  app.get('/events', async (request, reply) => {
    const filters = parseFilters(queryText(request, 'filters'), EVENT_FILTERS);
    const times = {
      sinceNs: queryTimeNs(request, 'since'),
      untilNs: queryTimeNs(request, 'until'),
    };
    const signal = abortOnClose(reply);
    const path = unversioned(request);
    const response = beginStream(reply, 'application/json');
    const sources = [copyHostEvents(context, { ...times, signal }, filters, response)];
    if (context.manager.available) sources.push(copyClusterEvents(context, path, signal, response));
    const ended = await Promise.allSettled(sources);
    for (const result of ended) {
      if (result.status === 'rejected') context.log.debug('events ended', { error: result.reason });
    }
    response.end();
    return reply;
  });
}

type EventOptions = Parameters<AgentContext['engine']['events']>[0];

async function copyHostEvents(
  { engine }: AgentContext,
  options: EventOptions,
  filters: Filters,
  response: Response,
): Promise<void> {
  for await (const event of engine.events(options)) {
    if (!matchesEvent(event, filters)) continue;
    if (!(await writeChunk(response, renderEvent(event)))) return;
  }
}

/** The manager writes one object per line: whole lines are passed on. */
async function copyClusterEvents(
  { manager }: AgentContext,
  path: string,
  signal: AbortSignal,
  response: Response,
): Promise<void> {
  const input = await manager.stream(path, signal);
  for await (const line of createInterface({ input })) {
    if (!(await writeChunk(response, `${line}\n`))) return;
  }
}
