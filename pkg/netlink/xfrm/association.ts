import { familyOf } from '../address.ts';
import { encodeBody, type Message, MessageFlag, type MessageWriter } from '../message.ts';
import {
  ADDRESS_LENGTH,
  ID_LENGTH,
  PROTOCOL_ESP,
  readAddress,
  SELECTOR_LENGTH,
  writeAddress,
  writeId,
  writeLifetimes,
  writeSpi,
} from './selector.ts';

const XFRM_MSG_NEWSA = 0x10;
const XFRM_MSG_DELSA = 0x11;
const XFRM_MSG_GETSA = 0x12;
const XFRMA_ALG_AEAD = 18;
const MODE_TRANSPORT = 0;
/** AES-GCM as ESP carries it (RFC 4106). */
const ALGORITHM = 'rfc4106(gcm(aes))';
const ALGORITHM_NAME_LENGTH = 64;
const TAG_BITS = 128;
/** Offsets in `struct xfrm_usersa_info`. */
const SOURCE_AT = SELECTOR_LENGTH + ID_LENGTH;
const SPI_AT = SELECTOR_LENGTH + ADDRESS_LENGTH;
const REQUEST_AT = SOURCE_AT + ADDRESS_LENGTH + 64 + 32 + 12 + 4;
const FAMILY_AT = REQUEST_AT + 4;

/** Names an ESP association in transport mode. */
export interface AssociationId {
  readonly source: string;
  readonly destination: string;
  /** Security parameter index, 32 bits, from 256 (RFC 4303 section 2.1). */
  readonly spi: number;
}

export interface SecurityAssociation extends AssociationId {
  /** Ties it to the policies that ask for it (`reqid`). */
  readonly request: number;
}

/**
 * @param key AES key of 16 or 32 bytes and 4 bytes of salt (RFC 4106 section 8.1)
 */
export function newAssociation(association: SecurityAssociation, key: Uint8Array): Message {
  const { source, destination, spi, request } = association;
  const body = encodeBody((writer) => {
    // The kernel takes the association's family for that of a selector without one.
    writer.bytes(Buffer.alloc(SELECTOR_LENGTH));
    writeId(writer, destination, spi);
    writeAddress(writer, source);
    writeLifetimes(writer);
    // xfrm_stats, seq; no replay window: a host that was started again begins to count anew with the same key.
    writer.bytes(Buffer.alloc(12)).u32(0);
    writer.u32(request).u16(familyOf(destination)).u8(MODE_TRANSPORT).u8(0).u8(0);
    writer.bytes(Buffer.alloc(7));
    writer.attribute(XFRMA_ALG_AEAD, aead(key));
  });
  return { type: XFRM_MSG_NEWSA, flags: MessageFlag.create | MessageFlag.exclusive, body };
}

export function deleteAssociation({ destination, spi }: AssociationId): Message {
  const body = encodeBody((writer: MessageWriter) => {
    writeAddress(writer, destination);
    writeSpi(writer, spi);
    writer.u16(familyOf(destination)).u8(PROTOCOL_ESP).u8(0);
  });
  return { type: XFRM_MSG_DELSA, flags: 0, body };
}

export function dumpAssociations(): Message {
  return { type: XFRM_MSG_GETSA, flags: 0, body: Buffer.alloc(0) };
}

/** Body of XFRM_MSG_NEWSA; keys are not read. */
export function parseAssociation(body: Buffer): SecurityAssociation {
  const family = body.readUInt16LE(FAMILY_AT);
  return {
    source: readAddress(body, SOURCE_AT, family),
    destination: readAddress(body, SELECTOR_LENGTH, family),
    spi: body.readUInt32BE(SPI_AT),
    request: body.readUInt32LE(REQUEST_AT),
  };
}

/** `struct xfrm_algo_aead` */
function aead(key: Uint8Array): Buffer {
  const head = Buffer.alloc(ALGORITHM_NAME_LENGTH + 8);
  head.write(ALGORITHM);
  head.writeUInt32LE(key.length * 8, ALGORITHM_NAME_LENGTH);
  head.writeUInt32LE(TAG_BITS, ALGORITHM_NAME_LENGTH + 4);
  return Buffer.concat([head, key]);
}
