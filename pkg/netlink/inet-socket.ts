import { AF_INET, AF_INET6, encodeAddress, familyOf } from './address.ts';
import { syscall } from './libc.ts';

const SOCK_NONBLOCK_CLOEXEC = 0x800 | 0x80000;
const SOCK_TYPE = { tcp: 1, udp: 2 } as const;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_NETNS_COOKIE = 71;
const COOKIE_BYTES = 8;
const SOL_IPV6 = 41;
const IPV6_V6ONLY = 26;
const LISTEN_BACKLOG = 512;

export interface BoundSocket {
  /** Owned by the caller: give it to `net.Server.listen({ fd })` or `dgram.Socket.bind({ fd })`. */
  readonly fd: number;
  readonly port: number;
}

/** `struct sockaddr_in` or `struct sockaddr_in6`. */
export function socketName(address: string, port = 0): Buffer {
  const bytes = encodeAddress(address);
  const family = familyOf(address);
  const name = Buffer.alloc(family === AF_INET ? 16 : 28);
  name.writeUInt16LE(family, 0);
  name.writeUInt16BE(port, 2);
  bytes.copy(name, family === AF_INET ? 4 : 8);
  return name;
}

/**
 * A bound (TCP: listening) non-blocking socket, of the address's family alone, of the namespace the calling thread is in. Node's own `listen` is
 * asynchronous and would come too late.
 * @param port 0 for any free one
 */
export function openBoundSocket(
  protocol: 'tcp' | 'udp',
  address: string,
  port: number,
): BoundSocket {
  const fd = syscall('socket', familyOf(address), SOCK_TYPE[protocol] | SOCK_NONBLOCK_CLOEXEC, 0);
  try {
    const on = Buffer.from([1, 0, 0, 0]);
    if (protocol === 'tcp') syscall('setsockopt', fd, SOL_SOCKET, SO_REUSEADDR, on, on.length);
    if (familyOf(address) === AF_INET6) {
      syscall('setsockopt', fd, SOL_IPV6, IPV6_V6ONLY, on, on.length);
    }
    const name = socketName(address, port);
    syscall('bind', fd, name, name.length);
    if (protocol === 'tcp') syscall('listen', fd, LISTEN_BACKLOG);
    syscall('getsockname', fd, name, [name.length]);
    return { fd, port: name.readUInt16BE(2) };
  } catch (error) {
    syscall('close', fd);
    throw error;
  }
}

/**
 * The number of the network namespace the calling thread is in, which no other gets until the machine is started anew; in decimal.
 * @throws SyscallError ENOPROTOOPT before Linux 5.14
 */
export function readNamespaceCookie(): string {
  const fd = syscall('socket', AF_INET, SOCK_TYPE.udp | SOCK_NONBLOCK_CLOEXEC, 0);
  try {
    const cookie = Buffer.alloc(COOKIE_BYTES);
    syscall('getsockopt', fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, [COOKIE_BYTES]);
    return String(cookie.readBigUInt64LE());
  } finally {
    syscall('close', fd);
  }
}
