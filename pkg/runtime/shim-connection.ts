import { closeSync, openSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { encodeFrames, FRAME, FrameReader } from './frame.ts';
import { caused, RuntimeError } from './runtime.ts';
import { errorCode } from './status.ts';

/** sockaddr_un has room for 107 bytes and a NUL (unix(7)). */
const SOCKET_PATH_MAX = 107;
/** The last one: it ended while the connection waited to be accepted. */
const GONE = ['ENOENT', 'ECONNREFUSED', 'ENOTDIR', 'ECONNRESET'];

interface Waiter {
  readonly resolve: (text: string) => void;
  readonly reject: (error: Error) => void;
}

/** What a connection hands on: output and the news that the process has ended (or the shim is gone). */
export interface ConnectionEvents {
  readonly onOutput?: ((stream: 'stdout' | 'stderr', data: Buffer) => void) | undefined;
  /** Once. After it nothing else comes. */
  readonly onEnd?: (() => void) | undefined;
}

/** One connection to one shim. Requests are answered in order. */
export class ShimConnection {
  readonly #socket: Socket;
  readonly #reader = new FrameReader();
  readonly #waiters: Waiter[] = [];
  readonly #events: ConnectionEvents;
  #ended = false;

  private constructor(socket: Socket, events: ConnectionEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', () => this.#end());
    socket.on('close', () => this.#end());
  }

  /** Rejects with `lost` when no shim listens there: it ended, or never was. */
  static async open(dir: string, events: ConnectionEvents = {}): Promise<ShimConnection> {
    const path = `${dir}/shim.sock`;
    if (Buffer.byteLength(path) <= SOCKET_PATH_MAX) return ShimConnection.#connect(path, events);
    let fd: number;
    try {
      fd = openSync(dir, 'r');
    } catch (error) {
      throw caused(error, 'lost', `no shim in ${dir}`);
    }
    try {
      return await ShimConnection.#connect(`/proc/self/fd/${fd}/shim.sock`, events);
    } finally {
      closeSync(fd);
    }
  }

  static #connect(path: string, events: ConnectionEvents): Promise<ShimConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ path });
      socket.once('connect', () => {
        socket.removeAllListeners('error');
        resolve(new ShimConnection(socket, events));
      });
      socket.once('error', (error) => {
        const gone = GONE.includes(errorCode(error) ?? '');
        reject(caused(error, gone ? 'lost' : 'failed', error.message));
      });
    });
  }

  /** Resolves with the shim's answer: empty when all is well, else what is wrong. */
  request(type: number, payload: Uint8Array = Buffer.alloc(0)): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#ended) {
        reject(new RuntimeError('lost', 'the shim has gone'));
        return;
      }
      this.#waiters.push({ resolve, reject });
      this.#socket.write(encodeFrames(type, payload));
    });
  }

  /** Resolves when the kernel has taken the bytes. */
  send(type: number, payload: Uint8Array, done: (error?: Error | null) => void): void {
    this.#socket.write(encodeFrames(type, payload), done);
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    for (const { type, payload } of this.#reader.push(chunk)) {
      if (type === FRAME.reply) this.#waiters.shift()?.resolve(payload.toString());
      else if (type === FRAME.stdout) this.#events.onOutput?.('stdout', payload);
      else if (type === FRAME.stderr) this.#events.onOutput?.('stderr', payload);
      else if (type === FRAME.exited) this.#end();
    }
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const waiter of this.#waiters.splice(0)) {
      waiter.reject(new RuntimeError('lost', 'the shim has gone'));
    }
    this.#socket.destroy();
    this.#events.onEnd?.();
  }
}

/** One question to one shim. */
export async function askShim(dir: string, type: number, payload?: Uint8Array): Promise<string> {
  const connection = await ShimConnection.open(dir);
  try {
    return await connection.request(type, payload);
  } finally {
    connection.close();
  }
}

/** Resolves when the shim has recorded its exit, has died, or was not there. Keeps no process alive by itself. */
export async function shimEnded(dir: string): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      ShimConnection.open(dir, { onEnd: resolve }).catch(reject);
    });
  } catch (error) {
    if (!(error instanceof RuntimeError && error.code === 'lost')) throw error;
  }
}
