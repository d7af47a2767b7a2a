import type { IncomingMessage } from 'node:http';
import type { Duplex, Readable, Writable } from 'node:stream';
import type { Logger } from '../io/index.ts';
import { errorMessage } from '../model/index.ts';
import { DetachFilter, parseDetachKeys } from './detach-keys.ts';
import type { ContainerStream, Engine } from './engine.ts';
import { httpFailure, invalid } from './failure.ts';
import { frame, type StreamName, streamContentType } from './frames.ts';
import { API_VERSION, checkVersion, compareVersions, splitVersion } from './versions.ts';

/** Bodies of upgraded requests are a few options. */
const BODY_BYTES_MAX = 64 * 1024;
/** Streams have content types of their own since this version. */
const MULTIPLEXED_SINCE = '1.42';

interface Upgrade {
  readonly engine: Engine;
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
}

/**
 * `Connection: Upgrade` requests: attach and exec start. Node hands over the bare socket, which becomes the process's
 * stdio after a `101 UPGRADED`; the client's FIN is the end of stdin, output goes on.
 */
export function upgradeListener(
  engine: Engine | undefined,
  log: Logger,
): (request: IncomingMessage, socket: Duplex, head: Buffer) => void {
  return (request, socket, head) => {
    socket.on('error', (error) => log.debug('attached client failed', { error }));
    if (!engine) {
      refuse(socket, { status: 404, message: 'page not found' });
      return;
    }
    const done = serve({ engine, request, socket, head });
    done.catch((error: unknown) => refuse(socket, httpFailure(error)));
  };
}

async function serve(upgrade: Upgrade): Promise<void> {
  const { url, version } = splitVersion(upgrade.request.url ?? '/');
  checkVersion(version);
  const { pathname, searchParams } = new URL(url, 'http://localhost');
  const [, kind, id = '', verb] = pathname.split('/').map(decodeURIComponent);
  if (kind === 'containers' && verb === 'attach') await attach(upgrade, id, searchParams);
  else if (kind === 'exec' && verb === 'start') await startExec(upgrade, id);
  else refuse(upgrade.socket, { status: 404, message: 'page not found' });
}

async function attach(upgrade: Upgrade, id: string, query: URLSearchParams): Promise<void> {
  const asked = (name: string): boolean => ['1', 'true'].includes(query.get(name) ?? '');
  const detachKeys = parseDetachKeys(query.get('detachKeys') ?? undefined);
  const stream = await upgrade.engine.containers.attach(id, { stdin: asked('stdin') });
  accept(upgrade, stream.tty);
  upgrade.socket.unshift(upgrade.head);
  if (asked('logs')) await replay(upgrade, id, stream.tty);
  if (!asked('stream')) {
    stream.close();
    upgrade.socket.end();
    return;
  }
  connect(upgrade.socket, stream, {
    stdin: asked('stdin'),
    stdout: asked('stdout'),
    stderr: asked('stderr'),
    detachKeys,
  });
}

async function replay({ engine, socket }: Upgrade, id: string, tty: boolean): Promise<void> {
  const signal = new AbortController().signal;
  const options = { follow: false, stdout: true, stderr: true, signal };
  const { records } = await engine.containers.logs(id, options);
  for await (const record of records) {
    socket.write(tty ? record.data : frame(record.stream, record.data));
  }
}

async function startExec(upgrade: Upgrade, id: string): Promise<void> {
  const body = await readBody(upgrade);
  const size = Array.isArray(body['ConsoleSize']) ? body['ConsoleSize'] : undefined;
  const stream = await upgrade.engine.execs.start(id, {
    tty: body['Tty'] === true,
    ...(size && { size: { rows: Number(size[0]), columns: Number(size[1]) } }),
  });
  accept(upgrade, stream.tty);
  const detachKeys = parseDetachKeys(undefined);
  connect(upgrade.socket, stream, { stdin: true, stdout: true, stderr: true, detachKeys });
}

/** The `Content-Length` bytes that come before the raw stream; what follows them goes back to the socket. */
async function readBody({ request, socket, head }: Upgrade): Promise<Record<string, unknown>> {
  const length = Number(request.headers['content-length'] ?? 0);
  if (length > BODY_BYTES_MAX) throw invalid('request body too large');
  const chunks = [head];
  let received = head.length;
  while (received < length) {
    const chunk = await nextChunk(socket);
    chunks.push(chunk);
    received += chunk.length;
  }
  const bytes = Buffer.concat(chunks);
  socket.unshift(bytes.subarray(length));
  if (length === 0) return {};
  try {
    return JSON.parse(bytes.subarray(0, length).toString()) as Record<string, unknown>;
  } catch (error) {
    throw invalid(`invalid JSON: ${errorMessage(error)}`, error);
  }
}

function nextChunk(socket: Duplex): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      const chunk = socket.read() as Buffer | null;
      if (chunk === null) return;
      socket.off('readable', settle);
      socket.off('close', gone);
      resolve(chunk);
    };
    const gone = (): void => reject(invalid('the client went away'));
    socket.on('readable', settle);
    socket.once('close', gone);
    settle();
  });
}

function accept({ request, socket }: Upgrade, tty: boolean): void {
  const version = splitVersion(request.url ?? '/').version ?? API_VERSION;
  const old = compareVersions(version, MULTIPLEXED_SINCE) < 0;
  socket.write(
    [
      'HTTP/1.1 101 UPGRADED',
      `Content-Type: ${streamContentType(tty || old)}`,
      'Connection: Upgrade',
      'Upgrade: tcp',
      `Api-Version: ${API_VERSION}`,
      'Docker-Experimental: false',
      'Ostype: linux',
      '\r\n',
    ].join('\r\n'),
  );
}

function refuse(socket: Duplex, { status, message }: ReturnType<typeof httpFailure>): void {
  const body = `${JSON.stringify({ message })}\n`;
  socket.end(
    [
      `HTTP/1.1 ${status} Refused`,
      'Content-Type: application/json',
      `Api-Version: ${API_VERSION}`,
      `Content-Length: ${Buffer.byteLength(body)}`,
      'Connection: close',
      `\r\n${body}`,
    ].join('\r\n'),
  );
}

interface Wanted {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** Typed into a terminal, they end the connection and not the process. */
  readonly detachKeys: Buffer;
}

function connect(socket: Duplex, stream: ContainerStream, wanted: Wanted): void {
  const { stdin } = stream;
  stdin.on('error', () => socket.resume());
  if (!wanted.stdin) socket.resume();
  else if (stream.tty) {
    const detach = (): void => {
      stream.close();
      socket.end();
    };
    socket.pipe(new DetachFilter(wanted.detachKeys, detach)).pipe(stdin);
  } else socket.pipe(stdin);
  const outputs = [
    copyOutput(stream, wanted.stdout ? 'stdout' : undefined, { from: stream.stdout, to: socket }),
    copyOutput(stream, wanted.stderr ? 'stderr' : undefined, { from: stream.stderr, to: socket }),
  ];
  const finished = Promise.all(outputs).then(() => socket.end());
  finished.catch(() => socket.destroy());
  socket.once('close', () => stream.close());
}

/** Copies until the output ends; `name` undefined reads and drops it, so that the process is not held up. */
function copyOutput(
  { tty }: ContainerStream,
  name: StreamName | undefined,
  { from, to }: { readonly from: Readable; readonly to: Writable },
): Promise<void> {
  return new Promise((resolve) => {
    from.on('data', (chunk: Buffer) => {
      if (name === undefined || to.destroyed) return;
      if (to.write(tty ? chunk : frame(name, chunk))) return;
      from.pause();
      to.once('drain', () => from.resume());
    });
    from.once('end', resolve);
    from.once('close', resolve);
    from.once('error', () => resolve());
  });
}
