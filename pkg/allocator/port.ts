import { type PublishedPort, portsAsked, type Service } from '../model/index.ts';

/** Where ports are taken from when the user names none (Docker's range). */
export const AUTO_PORT_MIN = 30_000;
export const AUTO_PORT_MAX = 32_767;

/** Ingress ports in use, `tcp/8080`; host-mode ports are the nodes' own affair. */
export type PortsInUse = Set<string>;

export function portKey(protocol: string, port: number): string {
  return `${protocol}/${port}`;
}

/** The service's ports with every wish filled in: an earlier choice is kept; undefined when the range is exhausted. */
export function allocatePorts(
  service: Service,
  inUse: PortsInUse,
): readonly PublishedPort[] | undefined {
  const asked = portsAsked(service.spec);
  const own = new Set<string>();
  for (const port of asked) if (port.publishedPort > 0) own.add(keyOf(port));
  const result: PublishedPort[] = [];
  for (const port of asked) {
    if (port.publishedPort > 0 || port.publishMode === 'host') {
      result.push(port);
      continue;
    }
    const chosen = earlierChoice(service, port, own) ?? firstFree(port, inUse, own);
    if (chosen === undefined) return undefined;
    own.add(portKey(port.protocol, chosen));
    result.push({ ...port, publishedPort: chosen });
  }
  return result;
}

function earlierChoice(
  service: Service,
  wish: PublishedPort,
  own: ReadonlySet<string>,
): number | undefined {
  const named = new Set(
    portsAsked(service.spec)
      .filter((port) => port.publishedPort > 0)
      .map(keyOf),
  );
  const earlier = service.endpoint.ports.find(
    (port) =>
      port.publishMode === 'ingress' &&
      port.protocol === wish.protocol &&
      port.targetPort === wish.targetPort &&
      port.publishedPort >= AUTO_PORT_MIN &&
      port.publishedPort <= AUTO_PORT_MAX &&
      !named.has(keyOf(port)) &&
      !own.has(keyOf(port)),
  );
  return earlier?.publishedPort;
}

function firstFree(
  { protocol }: PublishedPort,
  inUse: ReadonlySet<string>,
  own: ReadonlySet<string>,
): number | undefined {
  for (let port = AUTO_PORT_MIN; port <= AUTO_PORT_MAX; port++) {
    const key = portKey(protocol, port);
    if (!inUse.has(key) && !own.has(key)) return port;
  }
  return undefined;
}

function keyOf(port: PublishedPort): string {
  return portKey(port.protocol, port.publishedPort);
}
