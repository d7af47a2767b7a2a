/** A lab for a measurement, and what is asked of it. Needs root and a build. */
import { existsSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import type { Host } from '../../deploy/lab/host.ts';
import { Lab } from '../../deploy/lab/lab.ts';

const WAIT_MS = 60_000;

/** Runs `work` in a lab of its own, which is removed whatever happens. */
export async function withLab(
  name: string,
  size: { readonly managers: number; readonly agents: number },
  work: (lab: Lab) => Promise<void>,
): Promise<void> {
  if (existsSync(`/var/lib/muster/labs/${name}`)) await Lab.open(name).down();
  const lab = await Lab.up({ name, ...size, join: true });
  try {
    await work(lab);
  } finally {
    await lab.down();
  }
}

/** Requests over kept connections, as a client under load has them. */
export class ApiClient {
  readonly #socketPath: string;
  readonly #agent = new Agent({ keepAlive: true });

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  /** The parsed answer; throws for every status from 400 up, and after `timeoutMs`. */
  async call(method: string, path: string, body?: unknown, timeoutMs = WAIT_MS): Promise<unknown> {
    const text = await this.text(method, path, body, timeoutMs);
    return text === '' ? undefined : JSON.parse(text);
  }

  /** As `call`, without the time that parsing takes. */
  async text(method: string, path: string, body?: unknown, timeoutMs = WAIT_MS): Promise<string> {
    return Buffer.concat(await this.chunks(method, path, body, timeoutMs)).toString();
  }

  /** The answer as it came; one that was cut off is an error. */
  chunks(
    method: string,
    path: string,
    body?: unknown,
    timeoutMs = WAIT_MS,
  ): Promise<readonly Buffer[]> {
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const headers = payload && {
      'content-type': 'application/json',
      'content-length': payload.length,
    };
    const target = { socketPath: this.#socketPath, agent: this.#agent, method, path };
    return new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(timeoutMs);
      const sent = request({ ...target, headers: headers ?? {}, signal }, (answer) => {
        const parts: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => parts.push(chunk));
        answer.on('error', reject);
        answer.on('end', () => {
          const status = answer.statusCode ?? 500;
          if (status < 400) resolve(parts);
          else reject(new Error(`${status} ${Buffer.concat(parts)}`));
        });
      });
      sent.on('error', reject);
      sent.end(payload);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

interface NodeJson {
  readonly Description: { readonly Hostname: string };
  readonly ManagerStatus?: { readonly Leader?: boolean; readonly Reachability: string };
}

/** The leader once each manager answers that it is, and that it reaches all of them. */
export async function settledLeader(lab: Lab): Promise<Host> {
  const managers = lab.hosts.filter((host) => host.role === 'manager');
  const deadline = performance.now() + WAIT_MS;
  while (performance.now() < deadline) {
    const named = await Promise.all(managers.map((host) => leaderSeenBy(host, managers.length)));
    const [leader] = named;
    if (leader !== undefined && named.every((name) => name === leader)) return lab.host(leader);
    await pause(50);
  }
  throw new Error('the managers did not settle');
}

async function leaderSeenBy(host: Host, count: number): Promise<string | undefined> {
  const client = new ApiClient(host.socket);
  const nodes = (await client.call('GET', '/nodes').catch(() => [])) as NodeJson[];
  client.close();
  const reachable = nodes.filter((node) => node.ManagerStatus?.Reachability === 'reachable');
  if (reachable.length < count) return undefined;
  return reachable.find((node) => node.ManagerStatus?.Leader)?.Description.Hostname;
}
