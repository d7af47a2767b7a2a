import { readAcknowledgement } from './acknowledgement.ts';
import { receive, sendOnPool, syscall } from './libc.ts';
import {
  type Message,
  MessageFlag,
  MessageWriter,
  type ReceivedMessage,
  splitMessages,
} from './message.ts';
import { hasCode, SyscallError } from './syscall-error.ts';

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0x80000;
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const CAP_ACK = 10;
const EXT_ACK = 11;
const GET_STRICT_CHECK = 12;
const MSG_DONTWAIT = 0x40;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;

/** netdevice(7) */
const SIOCGIFINDEX = 0x8933;
const IFREQ_BYTES = 40;
const LINK_NAME_MAX = 15;

const PROTOCOL = { route: 0, xfrm: 6, netfilter: 12 } as const;
const RECEIVE_BUFFER_BYTES = 256 * 1024;
/** Large nf_tables batches go out in one `sendto`. */
const SOCKET_BUFFER_BYTES = 64 * 1024 * 1024;
/** Acknowledgements of one chunk must fit the receive queue. */
const BATCH_CHUNK_MAX = 200;
const DUMP_ATTEMPTS_MAX = 8;

/** All sockets share it: requests are synchronous and nothing keeps a view of it. */
let receiveBuffer: Buffer | undefined;

/**
 * A netlink socket of the network namespace it was opened in, for good. rtnetlink and nfnetlink answer inside `sendto`,
 * so calls here are synchronous and take microseconds, but for `requestOnPool`.
 */
export class NetlinkSocket implements Disposable {
  readonly #fd: number;
  readonly #protocol: keyof typeof PROTOCOL;
  #sequence = 1;
  #open = true;

  private constructor(fd: number, protocol: keyof typeof PROTOCOL) {
    this.#fd = fd;
    this.#protocol = protocol;
  }

  /** @throws SyscallError */
  static open(protocol: keyof typeof PROTOCOL): NetlinkSocket {
    const fd = syscall('socket', AF_NETLINK, SOCK_RAW_CLOEXEC, PROTOCOL[protocol]);
    try {
      const address = Buffer.alloc(12);
      address.writeUInt16LE(AF_NETLINK, 0);
      syscall('bind', fd, address, address.length);
      for (const option of [CAP_ACK, EXT_ACK, GET_STRICT_CHECK]) {
        setSocketOption(fd, SOL_NETLINK, option, 1);
      }
      setSocketOption(fd, SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER_BYTES);
      setSocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES);
    } catch (error) {
      syscall('close', fd);
      throw error;
    }
    return new NetlinkSocket(fd, protocol);
  }

  /** Sends one request and waits for its acknowledgement. Returns what the kernel sent before it. */
  request(message: Message): readonly Buffer[] {
    return this.#answersTo(message, this.#send([message], MessageFlag.ack));
  }

  /** The same for what the kernel needs long for, such as RTM_DELLINK. Nothing else may use the socket meanwhile. */
  async requestOnPool(message: Message): Promise<readonly Buffer[]> {
    const { bytes, last } = this.#encode([message], MessageFlag.ack);
    await sendOnPool(this.#fd, bytes);
    return this.#answersTo(message, last);
  }

  /**
   * Index of the link of that name, without the lock of all network configuration that requests about links wait for.
   * @throws SyscallError ENODEV
   */
  linkIndex(name: string): number {
    const request = Buffer.alloc(IFREQ_BYTES);
    request.write(name.slice(0, LINK_NAME_MAX));
    syscall('ioctl', this.#fd, SIOCGIFINDEX, request);
    return request.readInt32LE(LINK_NAME_MAX + 1);
  }

  /**
   * All objects a dump request lists; repeated when the kernel says that they changed meanwhile.
   * @param wants the others are not kept; it is shown a view that ends with the call
   */
  dump(message: Message, wants = (_body: Buffer): boolean => true): readonly Buffer[] {
    for (let attempt = 0; attempt < DUMP_ATTEMPTS_MAX; attempt++) {
      const answers = this.#dumpOnce(message, wants);
      if (answers !== undefined) return answers;
    }
    throw new SyscallError(`netlink dump ${message.type}`, 4, 'kept changing while it was read');
  }

  /**
   * Many independent requests, few system calls. All are tried.
   * @param tolerate error codes that count as success, such as EEXIST
   * @throws SyscallError of the first that failed otherwise, after all were tried
   */
  batch(messages: readonly Message[], tolerate: readonly string[] = []): void {
    let failure: unknown;
    for (let start = 0; start < messages.length; start += BATCH_CHUNK_MAX) {
      const chunk = messages.slice(start, start + BATCH_CHUNK_MAX);
      const last = this.#send(chunk, MessageFlag.ack);
      const first = last - chunk.length + 1;
      this.#receive((type, body, sequence) => {
        if (type !== NLMSG_ERROR || sequence < first) return false;
        try {
          this.#check(body, chunk[sequence - first]);
        } catch (error) {
          if (!hasCode(error, ...tolerate)) failure ??= error;
        }
        return sequence === last;
      });
    }
    if (failure !== undefined) throw failure;
  }

  /**
   * Sends bytes that already carry headers and sequence numbers, for instance an nf_tables transaction made once and
   * replayed into many namespaces.
   * @returns what the kernel sent beside acknowledgements
   * @throws SyscallError of the first error the kernel reported
   */
  transact(encoded: Buffer): readonly ReceivedMessage[] {
    const answers: ReceivedMessage[] = [];
    syscall('sendto', this.#fd, encoded, encoded.length, 0, null, 0);
    let failure: unknown;
    for (;;) {
      const received = this.#receiveOnce(MSG_DONTWAIT);
      if (received === undefined) break;
      for (const message of splitMessages(received)) {
        if (message.type !== NLMSG_ERROR) {
          answers.push({ ...message, body: Buffer.from(message.body) });
          continue;
        }
        const { errno, text } = readAcknowledgement(message.body);
        if (errno !== 0) {
          failure ??= new SyscallError(
            'nftables transaction',
            errno,
            `message ${message.sequence} ${text}`,
          );
        }
      }
    }
    if (failure !== undefined) throw failure;
    return answers;
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    syscall('close', this.#fd);
  }

  #dumpOnce(message: Message, wants: (body: Buffer) => boolean): readonly Buffer[] | undefined {
    const answers: Buffer[] = [];
    let interrupted = false;
    const sequence = this.#send([message], MessageFlag.dump);
    this.#receive((type, body, at, flags) => {
      if (at !== sequence) return false;
      interrupted ||= (flags & MessageFlag.dumpInterrupted) !== 0;
      if (type === NLMSG_ERROR) this.#check(body, message);
      if (type === NLMSG_ERROR || type === NLMSG_DONE) return true;
      if (wants(body)) answers.push(Buffer.from(body));
      return false;
    });
    return interrupted ? undefined : answers;
  }

  #check(body: Buffer, message: Message | undefined): void {
    const { errno, text } = readAcknowledgement(body);
    if (errno !== 0) {
      throw new SyscallError(`netlink ${this.#protocol} ${message?.type ?? '?'}`, errno, text);
    }
  }

  /** Returns the sequence number of the last message. */
  #send(messages: readonly Message[], flags: number): number {
    const { bytes, last } = this.#encode(messages, flags);
    syscall('sendto', this.#fd, bytes, bytes.length, 0, null, 0);
    return last;
  }

  #encode(
    messages: readonly Message[],
    flags: number,
  ): { readonly bytes: Buffer; readonly last: number } {
    const writer = new MessageWriter(4096);
    for (const message of messages) writer.message(message, this.#sequence++, flags);
    return { bytes: writer.done(), last: this.#sequence - 1 };
  }

  #answersTo(message: Message, sequence: number): readonly Buffer[] {
    const answers: Buffer[] = [];
    this.#receive((type, body, at) => {
      if (at !== sequence) return false;
      if (type !== NLMSG_ERROR) {
        answers.push(Buffer.from(body));
        return false;
      }
      this.#check(body, message);
      return true;
    });
    return answers;
  }

  /** Reads until `take` returns true. */
  #receive(take: (type: number, body: Buffer, sequence: number, flags: number) => boolean): void {
    for (;;) {
      const received = this.#receiveOnce(0);
      if (received === undefined) continue;
      for (const { type, body, sequence, flags } of splitMessages(received)) {
        if (take(type, body, sequence, flags)) return;
      }
    }
  }

  #receiveOnce(flags: number): Buffer | undefined {
    receiveBuffer ??= Buffer.allocUnsafeSlow(RECEIVE_BUFFER_BYTES);
    const length = receive(this.#fd, receiveBuffer, flags);
    return length === undefined ? undefined : receiveBuffer.subarray(0, length);
  }
}

export function setSocketOption(fd: number, level: number, option: number, value: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value, 0);
  syscall('setsockopt', fd, level, option, bytes, bytes.length);
}
