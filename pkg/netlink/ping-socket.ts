import { AF_INET, AF_INET6, isIpv6 } from './address.ts';
import { socketName } from './inet-socket.ts';
import { syscall } from './libc.ts';
import { SyscallError } from './syscall-error.ts';

const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0x800 | 0x80000;
/** `SOL_IP` and `SOL_IPV6` with `RECVERR` and `MTU_DISCOVER` of each; ICMP (RFC 792) and ICMPv6 (RFC 4443). */
const IPV4 = {
  family: AF_INET,
  protocol: 1,
  options: { level: 0, errors: 11, mtuDiscover: 10 },
  echo: { request: 8, reply: 0 },
  headerLength: 20,
} as const;
const IPV6 = {
  family: AF_INET6,
  protocol: 58,
  options: { level: 41, errors: 25, mtuDiscover: 23 },
  echo: { request: 128, reply: 129 },
  headerLength: 40,
} as const;
/** Set DF, and take neither the kernel's nor anybody else's word for what the path lets through. */
const PMTUDISC_PROBE = 3;
const HEADER_LENGTH = 8;
const RECEIVE_BYTES = 512;

/** Tells our sockets' questions apart; the kernel's ping program uses its process id the same way. */
let identifiers = process.pid;

/**
 * One ICMP or ICMPv6 echo request from the namespace the calling thread is in. Nothing waits here: ask `answer` now and then.
 * Needs CAP_NET_RAW.
 */
export class PingSocket implements Disposable {
  readonly #fd: number;
  readonly #identifier: number;
  readonly #kind: typeof IPV4 | typeof IPV6;
  /** Final, once it is known. */
  #result: string | undefined;
  #open = true;

  private constructor(kind: typeof IPV4 | typeof IPV6, identifier: number) {
    this.#fd = syscall('socket', kind.family, SOCK_RAW_NONBLOCK_CLOEXEC, kind.protocol);
    this.#kind = kind;
    this.#identifier = identifier;
  }

  /**
   * Sends the question; what the kernel refuses is the answer.
   * @param packetBytes size of the whole packet, which no router may break up: one that is too large for the path stays
   *   without an answer or gets EMSGSIZE. Header alone when absent.
   */
  static send(address: string, packetBytes?: number): PingSocket {
    identifiers = (identifiers + 1) & 0xffff;
    const socket = new PingSocket(isIpv6(address) ? IPV6 : IPV4, identifiers);
    try {
      socket.#ask(address, packetBytes);
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      socket.#result = error.code;
    }
    return socket;
  }

  /** `answered`, `waiting`, or the error code that the network or the kernel gave, such as EHOSTUNREACH. */
  answer(): string {
    try {
      this.#result ??= this.#readAnswer();
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      if (error.code === 'EAGAIN' || error.code === 'EINTR') return 'waiting';
      this.#result = error.code;
    }
    return this.#result;
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    syscall('close', this.#fd);
  }

  #ask(address: string, packetBytes: number | undefined): void {
    const on = Buffer.from([1, 0, 0, 0]);
    const { options, echo, headerLength } = this.#kind;
    syscall('setsockopt', this.#fd, options.level, options.errors, on, on.length);
    if (packetBytes !== undefined) {
      const probe = Buffer.from([PMTUDISC_PROBE, 0, 0, 0]);
      syscall('setsockopt', this.#fd, options.level, options.mtuDiscover, probe, probe.length);
    }
    const name = socketName(address);
    // Connected, so that errors about this address alone come back here.
    syscall('connect', this.#fd, name, name.length);
    const request = Buffer.alloc(Math.max(HEADER_LENGTH, (packetBytes ?? 0) - headerLength));
    request.writeUInt8(echo.request, 0);
    request.writeUInt16BE(this.#identifier, 4);
    request.writeUInt16BE(1, 6);
    // The kernel writes that of ICMPv6 itself: it covers the addresses.
    if (this.#kind === IPV4) request.writeUInt16BE(checksum(request), 2);
    syscall('sendto', this.#fd, request, request.length, 0, null, 0);
  }

  /** Answers to other sockets' questions come by here as well. */
  #readAnswer(): string {
    const packet = Buffer.alloc(RECEIVE_BYTES);
    for (;;) {
      const length = syscall('recv', this.#fd, packet, packet.length, 0);
      if (this.#isReply(packet.subarray(0, length))) return 'answered';
    }
  }

  #isReply(packet: Buffer): boolean {
    // IPv4 comes with its header, IPv6 without.
    const start = this.#kind === IPV4 ? ((packet[0] ?? 0) & 0x0f) * 4 : 0;
    if (packet.length < start + HEADER_LENGTH) return false;
    return (
      packet[start] === this.#kind.echo.reply && packet.readUInt16BE(start + 4) === this.#identifier
    );
  }
}

/** Of RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) {
    sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
