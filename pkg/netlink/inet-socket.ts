import { encodeIpv4 } from './address.ts';
import { syscall } from './libc.ts';

const AF_INET = 2;
const SOCK_NONBLOCK_CLOEXEC = 0x800 | 0x80000;
const SOCK_TYPE = { tcp: 1, udp: 2 } as const;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const LISTEN_BACKLOG = 512;

export interface BoundSocket {
  /** Owned by the caller: give it to `net.Server.listen({ fd })` or `dgram.Socket.bind({ fd })`. */
  readonly fd: number;
  readonly port: number;
}

/**
 * A bound (TCP: listening) non-blocking IPv4 socket of the namespace the calling thread is in. Node's own `listen` is
 * asynchronous and would come too late.
 * @param port 0 for any free one
 */
export function openBoundSocket(
  protocol: 'tcp' | 'udp',
  address: string,
  port: number,
): BoundSocket {
  const fd = syscall('socket', AF_INET, SOCK_TYPE[protocol] | SOCK_NONBLOCK_CLOEXEC, 0);
  try {
    const on = Buffer.from([1, 0, 0, 0]);
    if (protocol === 'tcp') syscall('setsockopt', fd, SOL_SOCKET, SO_REUSEADDR, on, on.length);
    const name = Buffer.alloc(16);
    name.writeUInt16LE(AF_INET, 0);
    name.writeUInt16BE(port, 2);
    encodeIpv4(address).copy(name, 4);
    syscall('bind', fd, name, name.length);
    if (protocol === 'tcp') syscall('listen', fd, LISTEN_BACKLOG);
    syscall('getsockname', fd, name, [name.length]);
    return { fd, port: name.readUInt16BE(2) };
  } catch (error) {
    syscall('close', fd);
    throw error;
  }
}
