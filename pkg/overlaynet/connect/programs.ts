import type { SocketHook } from 'vxlan-netlink';
import {
  add,
  and,
  assemble,
  call,
  copy,
  exit,
  fetchAdd,
  jumpIf,
  label,
  load,
  lookUp,
  remainder,
  type Step,
  set,
  stack,
  store,
  storeNumber,
} from './instructions.ts';
import { CONNECTED_BY_VIP, MAP_SHAPES, type MapName, TURNS } from './maps.ts';

/** `struct bpf_sock_addr` (uapi/linux/bpf.h) */
const CONTEXT = { ip4: 4, ip6: 8, protocol: 36, socket: 64 } as const;
/** `struct bpf_sock` */
const SOCKET_MARK = 16;
const TCP = 6;
const SOL_SOCKET = 1;
const SO_MARK = 36;
const WORD = 4;
/** What IPv4 addresses begin with in the form of IPv6 (RFC 4291 section 2.5.5.2), as the third word is read. */
const MAPPED = -65_536;
const WORDS = [0, 1, 2, 3] as const;

/** Where on the stack things are put. */
const STACK = { address: -16, member: -32, turn: -40, slot: -48, mark: -56 } as const;

/** Descriptors of the maps. */
export type MapDescriptors = Readonly<Record<MapName, number>>;

/**
 * What the kernel does when a socket of a container connects or is asked for its peer. A connection to a virtual IP is made
 * to the next slot's backend right away, so its packets need no translating; the socket is marked, which tells
 * rules and the second program apart what was sent to a backend's own address. Whatever is not in the maps,
 * or not TCP, or of a socket that its program marked, goes the way of the rules.
 * @param beginning in which slot rounds begin: if it were the same on every host, all that keep one connection would share
 *   the first slot
 */
export function programOf(hook: SocketHook, maps: MapDescriptors, beginning: number): Buffer {
  const ipv6 = hook.endsWith('6');
  const body = hook.startsWith('connect')
    ? connect(ipv6, maps, beginning)
    : getpeername(ipv6, maps);
  return assemble([...body, label('end'), set(0, 1), exit]);
}

/** Register 6 is the context, 7 what a map gave, 8 the number of slots, 9 that of the service. */
function connect(ipv6: boolean, maps: MapDescriptors, beginning: number): readonly Step[] {
  const { network, slots, service } = MAP_SHAPES.vips.value;
  return [
    copy(6, 1),
    ...leaveUnlessMarked(0),
    ...addressToStack(ipv6),
    ...lookUp(maps.vips, STACK.address, 'end'),
    copy(7, 0),
    copy(1, 6),
    call('namespaceCookie'),
    store(10, STACK.member, 0, 'u64'),
    load(1, 7, network, 'u32'),
    store(10, STACK.member + 2 * WORD, 1, 'u32'),
    storeNumber(10, STACK.member + 3 * WORD, 0),
    ...lookUp(maps.members, STACK.member, 'end'),
    load(8, 7, slots, 'u32'),
    load(9, 7, service, 'u32'),
    copy(1, 9),
    and(1, TURNS - 1),
    store(10, STACK.turn, 1, 'u32'),
    ...lookUp(maps.turns, STACK.turn, 'end'),
    set(1, 1),
    fetchAdd(0, 0, 1),
    add(1, beginning),
    remainder(1, 8),
    store(10, STACK.slot, 9, 'u32'),
    store(10, STACK.slot + WORD, 1, 'u32'),
    ...lookUp(maps.slots, STACK.slot, 'end'),
    copy(7, 0),
    ...markSocket,
    jumpIf(0, 'unequal', 0, 'end'),
    ...addressFrom(ipv6),
  ];
}

function getpeername(ipv6: boolean, maps: MapDescriptors): readonly Step[] {
  return [
    copy(6, 1),
    ...leaveUnlessMarked(CONNECTED_BY_VIP),
    ...addressToStack(ipv6),
    ...lookUp(maps.origins, STACK.address, 'end'),
    copy(7, 0),
    ...addressFrom(ipv6),
  ];
}

/** Only sockets of TCP whose mark is so. */
function leaveUnlessMarked(mark: number): readonly Step[] {
  return [
    load(1, 6, CONTEXT.protocol, 'u32'),
    jumpIf(1, 'unequal', TCP, 'end'),
    load(1, 6, CONTEXT.socket, 'u64'),
    load(1, 1, SOCKET_MARK, 'u32'),
    jumpIf(1, 'unequal', mark, 'end'),
  ];
}

const markSocket: readonly Step[] = [
  storeNumber(10, STACK.mark, CONNECTED_BY_VIP),
  copy(1, 6),
  set(2, SOL_SOCKET),
  set(3, SO_MARK),
  ...stack(4, STACK.mark),
  set(5, WORD),
  call('setsockopt'),
];

/** The socket's address, in the form of IPv6. */
function addressToStack(ipv6: boolean): readonly Step[] {
  if (ipv6) {
    return WORDS.flatMap((word) => [
      load(1, 6, CONTEXT.ip6 + word * WORD, 'u32'),
      store(10, STACK.address + word * WORD, 1, 'u32'),
    ]);
  }
  return [
    storeNumber(10, STACK.address, 0),
    storeNumber(10, STACK.address + WORD, 0),
    storeNumber(10, STACK.address + 2 * WORD, MAPPED),
    load(1, 6, CONTEXT.ip4, 'u32'),
    store(10, STACK.address + 3 * WORD, 1, 'u32'),
  ];
}

/** The address that register 7 leads to becomes the socket's. */
function addressFrom(ipv6: boolean): readonly Step[] {
  if (!ipv6) return [load(1, 7, 3 * WORD, 'u32'), store(6, CONTEXT.ip4, 1, 'u32')];
  return WORDS.flatMap((word) => [
    load(1, 7, word * WORD, 'u32'),
    store(6, CONTEXT.ip6 + word * WORD, 1, 'u32'),
  ]);
}
