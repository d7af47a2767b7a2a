import { AF_INET, AF_INET6, decodeAddress, encodeAddress, familyOf } from '../address.ts';
import type { MessageWriter } from '../message.ts';

/** Sizes of the structures of `linux/xfrm.h`, in bytes. */
export const ADDRESS_LENGTH = 16;
export const SELECTOR_LENGTH = 56;
export const ID_LENGTH = 24;
export const PROTOCOL_ESP = 50;
const PORT_MASK_ALL = 0xffff;
const NO_LIMIT = Buffer.alloc(8, 0xff);
/** Where `struct xfrm_selector` has its family, after addresses and ports with their masks. */
const FAMILY_AT = 2 * ADDRESS_LENGTH + 8;
const PREFIX_ALL: Readonly<Record<number, number>> = { [AF_INET]: 32, [AF_INET6]: 128 };

/** Which packets a policy is about; whatever is absent is any. */
export interface TrafficSelector {
  /** Of packets, where no address tells it; IPv4 when absent. */
  readonly ipv6?: true | undefined;
  /** One address. */
  readonly source?: string | undefined;
  readonly destination?: string | undefined;
  /** 17 is UDP. */
  readonly protocol?: number | undefined;
  readonly destinationPort?: number | undefined;
}

/** `xfrm_address_t`: a union that IPv4 fills a quarter of. */
export function writeAddress(writer: MessageWriter, address: string | undefined): void {
  const bytes = address === undefined ? Buffer.alloc(0) : encodeAddress(address);
  writer.bytes(bytes).bytes(Buffer.alloc(ADDRESS_LENGTH - bytes.length));
}

/** @param family `AF_INET6`, or IPv4 */
export function readAddress(body: Buffer, at: number, family: number): string {
  return decodeAddress(body.subarray(at, at + (family === AF_INET6 ? ADDRESS_LENGTH : 4)));
}

/** `struct xfrm_selector` */
export function writeSelector(writer: MessageWriter, selector: TrafficSelector): void {
  const { source, destination, protocol = 0, destinationPort } = selector;
  const family = familyOfSelector(selector);
  const prefix = (address: string | undefined): number =>
    address === undefined ? 0 : (PREFIX_ALL[family] ?? 0);
  writeAddress(writer, destination);
  writeAddress(writer, source);
  writer.be16(destinationPort ?? 0).be16(destinationPort === undefined ? 0 : PORT_MASK_ALL);
  writer.be16(0).be16(0).u16(family);
  writer.u8(prefix(destination)).u8(prefix(source));
  writer.u8(protocol).u8(0).u8(0).u8(0).u32(0).u32(0);
}

export function readSelector(body: Buffer, at = 0): TrafficSelector {
  const ports = at + 2 * ADDRESS_LENGTH;
  const portMask = body.readUInt16BE(ports + 2);
  const family = body.readUInt16LE(at + FAMILY_AT);
  const prefixes = at + FAMILY_AT + 2;
  const one = (prefixAt: number, addressAt: number): string | undefined =>
    body.readUInt8(prefixAt) === PREFIX_ALL[family]
      ? readAddress(body, addressAt, family)
      : undefined;
  const protocol = body.readUInt8(prefixes + 2);
  const [destination, source] = [one(prefixes, at), one(prefixes + 1, at + ADDRESS_LENGTH)];
  return {
    ...(family === AF_INET6 && (source ?? destination) === undefined && { ipv6: true }),
    destination,
    source,
    protocol: protocol === 0 ? undefined : protocol,
    destinationPort: portMask === 0 ? undefined : body.readUInt16BE(ports),
  };
}

function familyOfSelector({ source, destination, ipv6 }: TrafficSelector): number {
  const address = source ?? destination;
  if (address !== undefined) return familyOf(address);
  return ipv6 ? AF_INET6 : AF_INET;
}

/** `struct xfrm_id` */
export function writeId(writer: MessageWriter, destination: string, spi: number): void {
  writeAddress(writer, destination);
  writeSpi(writer, spi);
  writer.u8(PROTOCOL_ESP).u8(0).u8(0).u8(0);
}

/** The security parameter index goes as on the wire. */
export function writeSpi(writer: MessageWriter, spi: number): void {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(spi >>> 0);
  writer.bytes(bytes);
}

/** `struct xfrm_lifetime_cfg` without limits of bytes and packets, nor of time, and an empty `xfrm_lifetime_cur`. */
export function writeLifetimes(writer: MessageWriter): void {
  for (let limit = 0; limit < 4; limit++) writer.bytes(NO_LIMIT);
  writer.bytes(Buffer.alloc(32)).bytes(Buffer.alloc(32));
}
