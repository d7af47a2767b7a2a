import { readAttributes, readString } from './message.ts';

/** NLMSGERR_ATTR_MSG: the kernel's own words, sent because NETLINK_EXT_ACK is on. */
const ATTRIBUTE_MESSAGE = 1;
/** errno and the echoed request header (NETLINK_CAP_ACK cuts the request's body off). */
const FIXED_LENGTH = 20;

export interface Acknowledgement {
  /** Positive errno, 0 for success. */
  readonly errno: number;
  /** The kernel's explanation, often empty. */
  readonly text: string;
}

/** Body of NLMSG_ERROR, which also carries success. */
export function readAcknowledgement(body: Buffer): Acknowledgement {
  const errno = Math.abs(body.readInt32LE(0));
  if (errno === 0) return { errno, text: '' };
  return { errno, text: readString(readAttributes(body, FIXED_LENGTH).get(ATTRIBUTE_MESSAGE)) };
}
