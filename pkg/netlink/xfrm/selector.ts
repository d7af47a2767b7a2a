import { decodeIpv4, encodeIpv4 } from '../address.ts';
import type { MessageWriter } from '../message.ts';

/** Sizes of the structures of `linux/xfrm.h`, in bytes. */
export const ADDRESS_LENGTH = 16;
export const SELECTOR_LENGTH = 56;
export const ID_LENGTH = 24;
export const PROTOCOL_ESP = 50;
export const AF_INET = 2;
const PORT_MASK_ALL = 0xffff;
const NO_LIMIT = Buffer.alloc(8, 0xff);

/** Which packets a policy is about; whatever is absent is any. */
export interface TrafficSelector {
  /** One IPv4 address. */
  readonly source?: string | undefined;
  readonly destination?: string | undefined;
  /** 17 is UDP. */
  readonly protocol?: number | undefined;
  readonly destinationPort?: number | undefined;
}

/** `xfrm_address_t`: a union that IPv4 fills a quarter of. */
export function writeAddress(writer: MessageWriter, address: string | undefined): void {
  writer.bytes(encodeIpv4(address ?? '0.0.0.0')).bytes(Buffer.alloc(ADDRESS_LENGTH - 4));
}

export function readAddress(body: Buffer, at: number): string {
  return decodeIpv4(body.subarray(at, at + 4));
}

/** `struct xfrm_selector` */
export function writeSelector(writer: MessageWriter, selector: TrafficSelector): void {
  const { source, destination, protocol = 0, destinationPort } = selector;
  writeAddress(writer, destination);
  writeAddress(writer, source);
  writer.be16(destinationPort ?? 0).be16(destinationPort === undefined ? 0 : PORT_MASK_ALL);
  writer.be16(0).be16(0).u16(AF_INET);
  writer.u8(destination === undefined ? 0 : 32).u8(source === undefined ? 0 : 32);
  writer.u8(protocol).u8(0).u8(0).u8(0).u32(0).u32(0);
}

export function readSelector(body: Buffer, at = 0): TrafficSelector {
  const ports = at + 2 * ADDRESS_LENGTH;
  const portMask = body.readUInt16BE(ports + 2);
  const prefixes = ports + 10;
  const protocol = body.readUInt8(prefixes + 2);
  return {
    destination: body.readUInt8(prefixes) === 32 ? readAddress(body, at) : undefined,
    source:
      body.readUInt8(prefixes + 1) === 32 ? readAddress(body, at + ADDRESS_LENGTH) : undefined,
    protocol: protocol === 0 ? undefined : protocol,
    destinationPort: portMask === 0 ? undefined : body.readUInt16BE(ports),
  };
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
