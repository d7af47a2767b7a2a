import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly json: unknown;
}

export interface Call {
  readonly method?: string | undefined;
  readonly body?: unknown;
  /** Sent as it is, as JSON. */
  readonly text?: string | undefined;
  /** Sent as a tar archive. */
  readonly archive?: Buffer | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** One request to a unix socket; any status resolves. */
export function ask(socketPath: string, path: string, call: Call = {}): Promise<Answer> {
  const json = call.text ?? (call.body === undefined ? undefined : JSON.stringify(call.body));
  const payload = call.archive ?? json;
  const headers = {
    ...(payload !== undefined && {
      'content-type': call.archive ? 'application/x-tar' : 'application/json',
      'content-length': String(Buffer.byteLength(payload)),
    }),
    ...call.headers,
  };
  const method = call.method ?? (payload === undefined ? 'GET' : 'POST');
  return new Promise((resolve, reject) => {
    const request = httpRequest({ socketPath, path, method, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        const { statusCode: status = 0, headers: received } = response;
        resolve({ status, headers: received, text, json: parsed(text) });
      });
    });
    request.on('error', reject);
    request.end(payload);
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
