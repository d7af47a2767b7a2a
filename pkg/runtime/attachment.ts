import { Readable, Writable } from 'node:stream';
import { FRAME } from './frame.ts';
import type { Attachment } from './runtime.ts';
import { RuntimeError } from './runtime.ts';
import { ShimConnection } from './shim-connection.ts';

/** The process's stdio over one connection. A reader that does not read holds back both outputs, and the process. */
export class ShimAttachment implements Attachment {
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly stdin: Writable;
  #connection: ShimConnection | undefined;

  private constructor() {
    const resume = (): void => this.#connection?.resume();
    this.stdout = new Readable({ read: resume });
    this.stderr = new Readable({ read: resume });
    this.stdin = new Writable({
      write: (chunk: Buffer, _encoding, done): void => this.#send(FRAME.stdin, chunk, done),
      final: (done): void => this.#send(FRAME.closeStdin, Buffer.alloc(0), done),
    });
  }

  /** Resolves once the shim sends everything from now on here. */
  static async open(dir: string): Promise<ShimAttachment> {
    const attachment = new ShimAttachment();
    const { stdout, stderr } = attachment;
    const connection = await ShimConnection.open(dir, {
      onOutput: (stream, data) => {
        const more = (stream === 'stdout' ? stdout : stderr).push(data);
        if (!more) attachment.#connection?.pause();
      },
      onEnd: () => attachment.#finish(),
    });
    attachment.#connection = connection;
    await connection.request(FRAME.attach);
    return attachment;
  }

  /** A request over the same connection: it is carried out after everything sent before. */
  request(type: number, payload?: Uint8Array): Promise<string> {
    if (!this.#connection) return Promise.reject(new RuntimeError('lost', 'detached'));
    return this.#connection.request(type, payload);
  }

  close(): void {
    this.#connection?.close();
    this.#finish();
  }

  #send(type: number, payload: Uint8Array, done: (error?: Error | null) => void): void {
    if (this.#connection) this.#connection.send(type, payload, done);
    else done();
  }

  #finish(): void {
    if (!this.#connection) return;
    this.#connection = undefined;
    this.stdout.push(null);
    this.stderr.push(null);
    this.stdin.destroy();
  }
}
