import { encodeIpv4 } from './address.ts';
import { syscall } from './libc.ts';
import { SyscallError } from './syscall-error.ts';

const AF_INET = 2;
const SOCK_STREAM_NONBLOCK_CLOEXEC = 1 | 0x800 | 0x80000;
const WAITING: ReadonlySet<string> = new Set(['EINPROGRESS', 'EALREADY', 'EINTR']);

/**
 * One attempt at a TCP connection from the namespace the calling thread is in. Nothing waits here: ask `answer` now and
 * then. Whoever answers heard us, whether it takes the connection or refuses it.
 */
export class ConnectProbe implements Disposable {
  readonly #fd: number;
  readonly #name = Buffer.alloc(16);
  #result: string | undefined;
  #open = true;

  private constructor(fd: number, address: string, port: number) {
    this.#fd = fd;
    this.#name.writeUInt16LE(AF_INET, 0);
    this.#name.writeUInt16BE(port, 2);
    encodeIpv4(address).copy(this.#name, 4);
  }

  static send(address: string, port: number): ConnectProbe {
    const fd = syscall('socket', AF_INET, SOCK_STREAM_NONBLOCK_CLOEXEC, 0);
    const probe = new ConnectProbe(fd, address, port);
    probe.answer();
    return probe;
  }

  /** `answered`, `waiting`, or the error code that the network or the kernel gave, such as EHOSTUNREACH. */
  answer(): string {
    this.#result ??= this.#connect();
    return this.#result ?? 'waiting';
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    syscall('close', this.#fd);
  }

  /** Connecting again tells what became of the first time. Undefined while nobody knows. */
  #connect(): string | undefined {
    try {
      syscall('connect', this.#fd, this.#name, this.#name.length);
      return 'answered';
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      if (WAITING.has(error.code)) return undefined;
      return error.code === 'ECONNREFUSED' || error.code === 'EISCONN' ? 'answered' : error.code;
    }
  }
}
