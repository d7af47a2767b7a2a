/** `AF_INET` and `AF_INET6`; netfilter calls its protocols by other numbers. */
export const AF_INET = 2;
export const AF_INET6 = 10;

const IPV6_GROUPS = 8;
const IPV6_LENGTH = 16;

/** An address with prefix length, `10.0.0.1/24` or `fd00::1/64`. */
export interface Cidr {
  readonly address: string;
  readonly prefixLength: number;
}

/** Of an address or prefix, well formed or not: a colon tells. */
export function isIpv6(text: string): boolean {
  return text.includes(':');
}

/** `AF_INET` or `AF_INET6`. */
export function familyOf(text: string): number {
  return isIpv6(text) ? AF_INET6 : AF_INET;
}

/**
 * The 4 bytes of a dotted IPv4 address, or the 16 of an IPv6 address in any of its spellings.
 * @throws RangeError for anything else
 */
export function encodeAddress(address: string): Buffer {
  return isIpv6(address) ? encodeIpv6(address) : encodeIpv4(address);
}

/** As `ip` prints it; 16 bytes and more are IPv6 (RFC 5952), fewer IPv4. */
export function decodeAddress(bytes: Uint8Array): string {
  return bytes.length >= IPV6_LENGTH ? decodeIpv6(bytes) : decodeIpv4(bytes);
}

/**
 * Four bytes of a dotted IPv4 address.
 * @throws RangeError for anything else
 */
export function encodeIpv4(address: string): Buffer {
  const parts = address.split('.');
  const numbers = parts.map(Number);
  const valid = numbers.every(
    (part, index) => Number.isInteger(part) && part >= 0 && part <= 255 && parts[index] !== '',
  );
  if (numbers.length !== 4 || !valid) throw new RangeError(`not an IPv4 address: ${address}`);
  return Buffer.from(numbers);
}

export function decodeIpv4(bytes: Uint8Array): string {
  return [...bytes.subarray(0, 4)].join('.');
}

function encodeIpv6(address: string): Buffer {
  const halves = address.split('::').map((half) => (half === '' ? [] : half.split(':')));
  const [before = [], after] = halves;
  const given = before.length + (after?.length ?? 0);
  const fits = after === undefined ? given === IPV6_GROUPS : given < IPV6_GROUPS;
  const groups = [
    ...before,
    ...Array.from({ length: after === undefined ? 0 : IPV6_GROUPS - given }, () => '0'),
    ...(after ?? []),
  ];
  const valid = groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group));
  if (halves.length > 2 || !fits || !valid) throw new RangeError(`not an IPv6 address: ${address}`);
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex');
}

/** The longest run of zero groups, the first of equals, becomes `::`. */
function decodeIpv6(bytes: Uint8Array): string {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, IPV6_LENGTH);
  const groups = Array.from({ length: IPV6_GROUPS }, (_, at) => view.readUInt16BE(at * 2));
  const best = longestZeros(groups);
  const text = (some: readonly number[]): string => some.map((one) => one.toString(16)).join(':');
  if (best.length < 2) return text(groups);
  return `${text(groups.slice(0, best.start))}::${text(groups.slice(best.start + best.length))}`;
}

function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}

/** @throws RangeError unless six hexadecimal octets separated by colons */
export function encodeMac(mac: string): Buffer {
  if (!/^[0-9a-f]{2}(?::[0-9a-f]{2}){5}$/i.test(mac)) {
    throw new RangeError(`not a MAC address: ${mac}`);
  }
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

export function decodeMac(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** @throws RangeError when the prefix length is missing or out of range */
export function parseCidr(text: string): Cidr {
  const [address = '', length = ''] = text.split('/');
  const bits = encodeAddress(address).length * 8;
  const prefixLength = Number(length);
  if (!/^\d{1,3}$/.test(length) || prefixLength > bits) {
    throw new RangeError(`not a prefix: ${text}`);
  }
  return { address, prefixLength };
}
