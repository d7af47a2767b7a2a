import type { FastifyInstance } from 'fastify';

/** `/_ping`, GET and HEAD: `swarm` is the value of the `Swarm` header. */
export function pingRoute(app: FastifyInstance, swarm: () => string): void {
  app.get('/_ping', (_request, reply) =>
    reply
      .headers({
        swarm: swarm(),
        'builder-version': '1',
        'cache-control': 'no-cache, no-store, must-revalidate',
        pragma: 'no-cache',
        'content-type': 'text/plain; charset=utf-8',
      })
      .send('OK'),
  );
}
