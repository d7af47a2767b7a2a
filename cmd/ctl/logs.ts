import type { Context } from './context.ts';
import type { Options } from './service-create.ts';
import { parseDuration } from './units.ts';

const HEADER_BYTES = 8;
const STDERR = 2;

/** Prints a service's log frames; each line is preceded by its task and node. */
export async function followLogs(context: Context, name: string, options: Options): Promise<void> {
  const { client, output } = context;
  const service = await client.get<{ ID: string; Spec: { Name: string } }>(
    `/services/${encodeURIComponent(name)}`,
  );
  const labels = new Labels(context, service.Spec.Name);
  const response = await client.open('GET', `/services/${service.ID}/logs`, {
    query: {
      stdout: true,
      stderr: true,
      details: true,
      follow: options['follow'] === true,
      timestamps: options['timestamps'] === true,
      tail: options['tail'] ?? 'all',
      since: options['since'] === undefined ? undefined : sinceSeconds(String(options['since'])),
    },
  });
  for await (const { stream, text } of frames(response)) {
    const line = await labels.render(text, options['timestamps'] === true, options['raw'] === true);
    if (stream === STDERR) output.error(line);
    else output.line(line);
  }
}

/** The multiplexed stream's frames: stream number, three zeros, length, payload. */
async function* frames(
  response: AsyncIterable<Buffer>,
): AsyncIterable<{ readonly stream: number; readonly text: string }> {
  let pending: Buffer = Buffer.alloc(0);
  for await (const chunk of response) {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= HEADER_BYTES) {
      const end = HEADER_BYTES + pending.readUInt32BE(4);
      if (pending.length < end) break;
      yield { stream: pending[0] ?? 0, text: pending.subarray(HEADER_BYTES, end).toString('utf8') };
      pending = pending.subarray(end);
    }
  }
}

function sinceSeconds(text: string): number {
  const instant = Date.parse(text);
  if (!Number.isNaN(instant)) return instant / 1000;
  return (Date.now() - parseDuration(text, 'since') / 1e6) / 1000;
}

/** Turns the details of a line (`com.docker.swarm.task.id=…`) into `web.1@h2`. */
class Labels {
  readonly #context: Context;
  readonly #service: string;
  readonly #known = new Map<string, string>();

  constructor(context: Context, service: string) {
    this.#context = context;
    this.#service = service;
  }

  async render(text: string, timestamps: boolean, raw: boolean): Promise<string> {
    const line = text.replace(/\n$/, '');
    const match = (timestamps ? /^(\S+) (\S*) ?(.*)$/s : /^()(\S*) ?(.*)$/s).exec(line);
    const [, time = '', details = '', message = ''] = match ?? [];
    const fields = new Map(details.split(',').map((pair) => pair.split('=') as [string, string]));
    const task = fields.get('com.docker.swarm.task.id');
    if (task === undefined) return line;
    const prefix = raw ? '' : `${await this.#labelOf(task)}    | `;
    return `${prefix}${time === '' ? '' : `${time} `}${message}`;
  }

  async #labelOf(task: string): Promise<string> {
    const known = this.#known.get(task);
    if (known !== undefined) return known;
    const { client } = this.#context;
    const found = await client.get<{ Slot?: number; NodeID: string }>(`/tasks/${task}`);
    const node = await client.get<{ Description: { Hostname: string } }>(`/nodes/${found.NodeID}`);
    const label = `${this.#service}.${found.Slot || found.NodeID}@${node.Description.Hostname}`;
    this.#known.set(task, label);
    return label;
  }
}
