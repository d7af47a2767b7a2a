import { syscall } from './libc.ts';

const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 2 | 0x80000;
const SIOCETHTOOL = 0x8946;
/** Commands of uapi/linux/ethtool.h. */
const ETHTOOL_GTXCSUM = 0x16;
const ETHTOOL_STXCSUM = 0x17;

/** Whether a link of the current namespace leaves checksums to those that its packets come to next. */
export function readChecksumOffload(link: string): boolean {
  return ethtool(link, ETHTOOL_GTXCSUM, 0) !== 0;
}

/** Off: checksums are complete before a packet enters the link. Segmentation offload, which needs it, follows. */
export function setChecksumOffload(link: string, on: boolean): void {
  ethtool(link, ETHTOOL_STXCSUM, on ? 1 : 0);
}

/** A command with one number; returns the number that the kernel left there. */
function ethtool(link: string, command: number, value: number): number {
  const data = Buffer.alloc(8);
  data.writeUInt32LE(command, 0);
  data.writeUInt32LE(value, 4);
  const fd = syscall('socket', AF_INET, SOCK_DGRAM_CLOEXEC, 0);
  try {
    syscall('ioctlLink', fd, SIOCETHTOOL, { name: link, data, rest: new Array(16).fill(0) });
    return data.readUInt32LE(4);
  } finally {
    syscall('close', fd);
  }
}
