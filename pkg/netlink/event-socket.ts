import { AF_INET6 } from './address.ts';
import { receive, receiveMessage, syscall } from './libc.ts';
import { type ReceivedMessage, readAttributes, readString, splitMessages } from './message.ts';
import { setSocketOption } from './socket.ts';
import { hasCode } from './syscall-error.ts';

const AF_NETLINK = 16;
const SOCK_RAW_NONBLOCK_CLOEXEC = 3 | 0x800 | 0x80000;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const SOL_NETLINK = 270;
const LISTEN_ALL_NSID = 8;
const MSG_PEEK_DONTWAIT = 0x2 | 0x40;
const ROUTE = 0;
const NETFILTER = 12;
/** RTNLGRP_LINK, NEIGH, and IFADDR, ROUTE, RULE of IPv4 and of IPv6, as bits from the first. */
const ROUTE_GROUPS = maskOf(1, 3, 5, 7, 8, 9, 11, 19);
/** NFNLGRP_NFTABLES. */
const NFTABLES_GROUPS = maskOf(7);
const NF_TABLES_SUBSYSTEM = 0x0a;
const NFT_MSG_NEWGEN = 0x0a0f;
const NETFILTER_HEADER_LENGTH = 4;
/** Every object of nf_tables names its table in its first attribute. */
const TABLE_NAME = 1;
const ROUTE_PROTOCOL_OFFSET = 5;
const RTPROT_KERNEL = 2;
const FAMILY_OFFSET = 0;
/** In the headers of links, addresses and neighbours alike. */
const LINK_OFFSET = 4;
const SCOPE_OFFSET = 3;
const RT_SCOPE_LINK = 253;
/** `struct sockaddr_nl`: family, port, groups. */
const ADDRESS_BYTES = 12;
const GROUPS_OFFSET = 8;
const RECEIVE_BUFFER_BYTES = 256 * 1024;
const QUEUE_BYTES = 8 * 1024 * 1024;
/** Header, one integer, padding (cmsg(3)). */
const CONTROL_BYTES = 24;
const CONTROL_VALUE_OFFSET = 16;

/** Somebody changed something; what exactly is for the reader of the kernel's state to see. */
export type KernelEvent = EventDetail & {
  /** `identifyNamespace` of where it happened; undefined: where the listening socket was opened. */
  readonly namespaceId: number | undefined;
};

type EventDetail =
  | { readonly kind: 'rule' }
  /** Of the link with this index; bridge entries name the port. */
  | { readonly kind: LinkKind; readonly link: number }
  /** `rtm_protocol` of rtnetlink(7): 2 the kernel, 4 an administrator. */
  | { readonly kind: 'route'; readonly protocol: number }
  | { readonly kind: 'nftables'; readonly table: string };
type LinkKind = 'link' | 'address' | 'neighbour';

/** Of rtnetlink(7). Bridge entries are neighbours there. */
const KINDS: Readonly<Record<number, 'route' | 'rule' | LinkKind>> = {
  16: 'link',
  17: 'link',
  20: 'address',
  21: 'address',
  24: 'route',
  25: 'route',
  28: 'neighbour',
  29: 'neighbour',
  32: 'rule',
  33: 'rule',
};

let receiveBuffer: Buffer | undefined;

/**
 * What the kernel tells of changes of links, addresses, routes and rules, neighbours, bridge entries and nf_tables,
 * in this namespace and in all that have an identifier here (`identifyNamespace`). Nothing waits here: ask `read` now
 * and then. Needs CAP_NET_ADMIN, and CAP_NET_BROADCAST for other namespaces.
 */
export class EventSocket implements Disposable {
  readonly #fd: number;
  /** `struct sockaddr_nl` with our port and the groups. */
  readonly #address: Buffer;
  readonly #groups: number;
  readonly #decode: (message: ReceivedMessage) => EventDetail | undefined;
  #open = true;

  private constructor(fd: number, route: boolean) {
    this.#fd = fd;
    this.#decode = route ? decodeRoute : decodeNftables;
    this.#groups = route ? ROUTE_GROUPS : NFTABLES_GROUPS;
    this.#address = Buffer.alloc(ADDRESS_BYTES);
    this.#address.writeUInt16LE(AF_NETLINK, 0);
    this.#listenTo(this.#groups);
    syscall('getsockname', fd, this.#address, [ADDRESS_BYTES]);
  }

  /** Of the namespace that the calling thread is in. @throws SyscallError */
  static open(source: 'route' | 'nftables'): EventSocket {
    const route = source === 'route';
    const protocol = route ? ROUTE : NETFILTER;
    const fd = syscall('socket', AF_NETLINK, SOCK_RAW_NONBLOCK_CLOEXEC, protocol);
    try {
      setSocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, QUEUE_BYTES);
      setSocketOption(fd, SOL_NETLINK, LISTEN_ALL_NSID, 1);
      return new EventSocket(fd, route);
    } catch (error) {
      syscall('close', fd);
      throw error;
    }
  }

  /** Everything since the last call. @returns false when the kernel had to drop some: anything may have changed */
  read(take: (event: KernelEvent) => void): boolean {
    receiveBuffer ??= Buffer.allocUnsafeSlow(RECEIVE_BUFFER_BYTES);
    let complete = true;
    for (;;) {
      try {
        // Mostly there is nothing, and the plain call is the cheaper one.
        const length = receive(this.#fd, receiveBuffer.subarray(0, 1), MSG_PEEK_DONTWAIT);
        if (length === undefined) return complete;
        this.#readOne(receiveBuffer, take);
      } catch (error) {
        if (!hasCode(error, 'ENOBUFS')) throw error;
        complete = false;
      }
    }
  }

  /** Is told nothing of what happens during `work`; the kernel does not even write it down. */
  deafTo(work: () => void): void {
    this.#listenTo(0);
    try {
      work();
    } finally {
      this.#listenTo(this.#groups);
    }
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    syscall('close', this.#fd);
  }

  #listenTo(groups: number): void {
    this.#address.writeUInt32LE(groups, GROUPS_OFFSET);
    syscall('bind', this.#fd, this.#address, ADDRESS_BYTES);
  }

  #readOne(buffer: Buffer, take: (event: KernelEvent) => void): void {
    const control = Buffer.alloc(CONTROL_BYTES);
    const { length, controlLength } = receiveMessage(this.#fd, buffer, control);
    const namespaceId = controlLength > 0 ? control.readInt32LE(CONTROL_VALUE_OFFSET) : undefined;
    for (const message of splitMessages(buffer.subarray(0, length))) {
      const event = this.#decode(message);
      if (event !== undefined) take({ ...event, namespaceId });
    }
  }
}

function decodeRoute({ type, body }: ReceivedMessage): EventDetail | undefined {
  const kind = KINDS[type];
  if (isAutomatic(kind, body)) return undefined;
  if (kind === 'route') return { kind, protocol: body[ROUTE_PROTOCOL_OFFSET] ?? 0 };
  if (kind === undefined || kind === 'rule') return kind && { kind };
  return { kind, link: body.readUInt32LE(LINK_OFFSET) };
}

/** Every link that comes up gets an IPv6 address and routes by itself, the last of them a second later. */
function isAutomatic(kind: string | undefined, body: Buffer): boolean {
  if (body[FAMILY_OFFSET] !== AF_INET6) return false;
  if (kind === 'address') return body[SCOPE_OFFSET] === RT_SCOPE_LINK;
  return kind === 'route' && body[ROUTE_PROTOCOL_OFFSET] === RTPROT_KERNEL;
}

function decodeNftables({ type, body }: ReceivedMessage): EventDetail | undefined {
  if (type >> 8 !== NF_TABLES_SUBSYSTEM || type === NFT_MSG_NEWGEN) return undefined;
  const name = readAttributes(body, NETFILTER_HEADER_LENGTH).get(TABLE_NAME);
  return name && { kind: 'nftables', table: readString(name) };
}

function maskOf(...groups: readonly number[]): number {
  return groups.reduce((mask, group) => mask | (1 << (group - 1)), 0);
}
