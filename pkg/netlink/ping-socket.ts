import { encodeIpv4 } from './address.ts';
import { syscall } from './libc.ts';
import { SyscallError } from './syscall-error.ts';

const AF_INET = 2;
const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0x800 | 0x80000;
const PROTOCOL_ICMP = 1;
const SOL_IP = 0;
const IP_RECVERR = 11;
const ECHO_REQUEST = 8;
const ECHO_REPLY = 0;
const IP_MTU_DISCOVER = 10;
/** Set DF, and take neither the kernel's nor anybody else's word for what the path lets through. */
const IP_PMTUDISC_PROBE = 3;
const HEADER_LENGTH = 8;
const IP_HEADER_LENGTH = 20;
const RECEIVE_BYTES = 512;

/** Tells our sockets' questions apart; the kernel's ping program uses its process id the same way. */
let identifiers = process.pid;

/**
 * One ICMP echo request from the namespace the calling thread is in. Nothing waits here: ask `answer` now and then.
 * Needs CAP_NET_RAW.
 */
export class PingSocket implements Disposable {
  readonly #fd: number;
  readonly #identifier: number;
  /** Final, once it is known. */
  #result: string | undefined;
  #open = true;

  private constructor(fd: number, identifier: number) {
    this.#fd = fd;
    this.#identifier = identifier;
  }

  /**
   * Sends the question; what the kernel refuses is the answer.
   * @param packetBytes size of the whole packet, which no router may break up: one that is too large for the path stays
   *   without an answer or gets EMSGSIZE. Header alone when absent.
   */
  static send(address: string, packetBytes?: number): PingSocket {
    identifiers = (identifiers + 1) & 0xffff;
    const socket = new PingSocket(
      syscall('socket', AF_INET, SOCK_RAW_NONBLOCK_CLOEXEC, PROTOCOL_ICMP),
      identifiers,
    );
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
    syscall('setsockopt', this.#fd, SOL_IP, IP_RECVERR, on, on.length);
    if (packetBytes !== undefined) {
      const probe = Buffer.from([IP_PMTUDISC_PROBE, 0, 0, 0]);
      syscall('setsockopt', this.#fd, SOL_IP, IP_MTU_DISCOVER, probe, probe.length);
    }
    const name = Buffer.alloc(16);
    name.writeUInt16LE(AF_INET, 0);
    encodeIpv4(address).copy(name, 4);
    // Connected, so that errors about this address alone come back here.
    syscall('connect', this.#fd, name, name.length);
    const request = Buffer.alloc(Math.max(HEADER_LENGTH, (packetBytes ?? 0) - IP_HEADER_LENGTH));
    request.writeUInt8(ECHO_REQUEST, 0);
    request.writeUInt16BE(this.#identifier, 4);
    request.writeUInt16BE(1, 6);
    request.writeUInt16BE(checksum(request), 2);
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
    const start = ((packet[0] ?? 0) & 0x0f) * 4;
    if (packet.length < start + HEADER_LENGTH) return false;
    return packet[start] === ECHO_REPLY && packet.readUInt16BE(start + 4) === this.#identifier;
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
