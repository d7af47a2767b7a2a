import { request } from 'node:http';

/** The manager behind this socket answers. */
export async function answers(socketPath: string): Promise<boolean> {
  return (await get(socketPath, '/_ping')) !== undefined;
}

/** What the log of the manager behind this socket is locked with; empty when it is not, or nobody answers. */
export async function localUnlockKey(socketPath: string): Promise<string> {
  const text = await get(socketPath, '/swarm/unlockkey?local=1');
  return text === undefined ? '' : (JSON.parse(text) as { UnlockKey: string }).UnlockKey;
}

/** The body of a good answer. */
function get(socketPath: string, path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const call = request({ socketPath, path }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
      });
      response.on('close', () => resolve(response.statusCode === 200 ? text : undefined));
    });
    call.on('error', () => resolve(undefined));
    call.end();
  });
}
