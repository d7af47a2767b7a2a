import { request as httpRequest } from 'node:http';

export interface Answer {
  readonly status: number;
  readonly text: string;
}

/** One request to a host's API socket. */
export function request(
  socketPath: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<Answer> {
  const payload = body === undefined ? '' : JSON.stringify(body);
  const headers =
    body === undefined
      ? {}
      : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) };
  return new Promise((resolve, reject) => {
    const call = httpRequest({ socketPath, method, path, headers }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString('utf8') }),
      );
    });
    call.on('error', reject);
    call.end(payload);
  });
}

/** The parsed answer, or the daemon's own message as an error. */
export async function call(
  socketPath: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<unknown> {
  const answer = await request(socketPath, method, path, body);
  if (answer.status >= 400) {
    throw new Error(`${method} ${path} answered ${answer.status}: ${messageOf(answer.text)}`);
  }
  return answer.text === '' ? undefined : JSON.parse(answer.text);
}

function messageOf(text: string): string {
  try {
    return String((JSON.parse(text) as { message?: unknown }).message ?? text);
  } catch {
    return text;
  }
}
