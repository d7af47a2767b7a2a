import type { FastifyInstance } from 'fastify';
import { ClusterEvents } from '../cluster-events.ts';
import type { ClusterContext } from '../context.ts';
import { EVENT_FILTERS, matchesEvent, renderEvent } from '../event-stream.ts';
import { parseFilters } from '../filters.ts';
import { queryText, queryTimeNs } from '../query.ts';
import { abortOnClose, beginStream } from '../stream.ts';

/** Bytes a reader may be behind before it is cut; it reconnects with `since`. */
const BEHIND_BYTES_MAX = 4 * 1024 * 1024;

/** The cluster's events, as a manager serves them. */
export function clusterEventRoutes(app: FastifyInstance, context: ClusterContext): void {
  const events = new ClusterEvents(context.cluster.store);

  app.get('/events', (request, reply) => {
    const filters = parseFilters(queryText(request, 'filters'), EVENT_FILTERS);
    const sinceNs = queryTimeNs(request, 'since');
    const untilNs = queryTimeNs(request, 'until');
    const signal = abortOnClose(reply);
    const response = beginStream(reply, 'application/json');
    if (sinceNs !== undefined) {
      const past = events.since(sinceNs).filter((event) => matchesEvent(event, filters));
      for (const event of past) {
        if (untilNs === undefined || event.timeNs <= untilNs) response.write(renderEvent(event));
      }
    }
    if (untilNs !== undefined && endAt(untilNs, () => response.end(), signal)) return;
    events.listen((event) => {
      if (!matchesEvent(event, filters)) return;
      response.write(renderEvent(event));
      if (response.writableLength > BEHIND_BYTES_MAX) response.destroy();
    }, signal);
  });
}

/** Ends a stream at an instant; true when that has already come. */
export function endAt(untilNs: bigint, end: () => void, signal: AbortSignal): boolean {
  const waitMs = Number(untilNs / 1_000_000n) - Date.now();
  if (waitMs <= 0) {
    end();
    return true;
  }
  const timer = setTimeout(end, Math.min(waitMs, 2 ** 31 - 1));
  signal.addEventListener('abort', () => clearTimeout(timer), { once: true });
  return false;
}
