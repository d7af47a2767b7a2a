/** An IPv4 address with prefix length, `10.0.0.1/24`. */
export interface Cidr {
  readonly address: string;
  readonly prefixLength: number;
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
  encodeIpv4(address);
  const prefixLength = Number(length);
  if (!/^\d{1,2}$/.test(length) || prefixLength > 32) {
    throw new RangeError(`not a prefix: ${text}`);
  }
  return { address, prefixLength };
}
