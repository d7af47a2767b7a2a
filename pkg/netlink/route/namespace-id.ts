import { encodeBody, type Message, readAttributes } from '../message.ts';
import type { NetworkNamespace } from '../namespace.ts';
import type { NetlinkSocket } from '../socket.ts';
import { hasCode } from '../syscall-error.ts';

const RTM_NEWNSID = 88;
const RTM_GETNSID = 90;
/** `struct rtgenmsg`, padded. */
const HEADER_LENGTH = 4;
const NSID = 1;
const FD = 3;
const ANY = -1;

/**
 * The number by which the socket's namespace knows another one, given now if it had none. Events carry it; it is given
 * to somebody else when the other namespace is gone.
 */
export function identifyNamespace(socket: NetlinkSocket, { fd }: NetworkNamespace): number {
  try {
    socket.request(about(RTM_NEWNSID, fd, ANY));
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  }
  const [answer = Buffer.alloc(HEADER_LENGTH)] = socket.request(about(RTM_GETNSID, fd));
  return readAttributes(answer, HEADER_LENGTH).get(NSID)?.readInt32LE(0) ?? ANY;
}

function about(type: number, fd: number, id?: number): Message {
  const body = encodeBody((writer) => {
    writer.u32(0).attributeU32(FD, fd);
    if (id !== undefined) writer.attributeU32(NSID, id);
  });
  return { type, flags: 0, body };
}
