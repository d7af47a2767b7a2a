import type { MessageWriter } from '../message.ts';
import { NF_FAMILY_IPV6 } from './table-name.ts';

/** Numbers of uapi/linux/netfilter/nf_tables.h. */
const EXPRESSION_ELEMENT = 1;
const EXPRESSION_NAME = 1;
const EXPRESSION_DATA = 2;
const DATA_VALUE = 1;
const DATA_VERDICT = 2;
const VERDICT_CODE = 1;
const VERDICT_CHAIN = 2;

const META_KEY = { mark: 3, iifname: 6, oifname: 7, l4proto: 16 } as const;
const CT_KEY = { state: 0, direction: 1, status: 2, mark: 3, zone: 17 } as const;
/** Of `ct original zone`: only the packets of who began a connection are looked up there. */
const CT_DIRECTION_ORIGINAL = 0;
const CMP_OPERATOR = { eq: 0, neq: 1, lt: 2, lte: 3, gt: 4, gte: 5 } as const;
const PAYLOAD_BASE = { link: 0, network: 1, transport: 2 } as const;
const VERDICT = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 } as const;
const FIB_RESULT_ADDRESS_TYPE = 3;
const FIB_FLAG_DESTINATION = 2;
const DYNSET_ADD = 0;
const REJECT_ICMP = 0;
const REJECT_TCP_RESET = 1;
const ICMP_PORT_UNREACHABLE = 3;
const ICMPV6_PORT_UNREACHABLE = 4;
const ROUTE_KEY_TCP_MSS = 3;
const BYTEORDER_TO_NETWORK = 1;
const EXTHDR_TCP_OPTION = 1;
/** RFC 9293 section 3.2: kind 2, length 4, then the value. */
const TCP_OPTION_MSS = 2;
const TCP_OPTION_MSS_VALUE = 2;

/** Bits of `ct state`. */
export const CtState = { established: 2, related: 4, new: 8 } as const;
/** Bit of `ct status`: the destination was translated. */
export const CT_STATUS_DNAT = 0x20;
/** Value of `fib … type` for an address of this host (RTN_LOCAL). */
export const FIB_TYPE_LOCAL = 2;

export type Verdict =
  | { readonly verdict: 'accept' | 'drop' | 'return' }
  | { readonly verdict: 'jump' | 'goto'; readonly chain: string };

/**
 * One instruction of a rule, as plain data. Registers 1 to 4 hold 16 bytes each, 8 to 23 their 4-byte parts
 * (8 is the first quarter of 1); 0 is the verdict.
 */
export type Expression =
  | { readonly kind: 'meta'; readonly key: keyof typeof META_KEY; readonly target: number }
  | { readonly kind: 'meta-set'; readonly key: 'mark'; readonly source: number }
  | { readonly kind: 'ct'; readonly key: keyof typeof CT_KEY; readonly target: number }
  | { readonly kind: 'ct-set'; readonly key: 'mark'; readonly source: number }
  /** `ct original zone set`, 2 bytes in host order; before connection tracking, at priority -300. */
  | { readonly kind: 'ct-original-zone-set'; readonly source: number }
  | {
      readonly kind: 'payload';
      readonly base: keyof typeof PAYLOAD_BASE;
      readonly offset: number;
      readonly length: number;
      readonly target: number;
    }
  | {
      readonly kind: 'cmp';
      readonly source: number;
      readonly operator: keyof typeof CMP_OPERATOR;
      readonly value: Buffer;
    }
  | {
      readonly kind: 'bitwise';
      readonly source: number;
      readonly target: number;
      readonly mask: Buffer;
      readonly xor: Buffer;
    }
  /** `target` absent: set membership; 0: verdict map; otherwise the mapped value's register. */
  | {
      readonly kind: 'lookup';
      readonly set: string;
      /** Transaction-local id, for anonymous sets. */
      readonly setId?: number | undefined;
      readonly source: number;
      readonly target?: number | undefined;
    }
  /** Adds what is in the register to a set that grows; the rule ends there when the set is full. */
  | { readonly kind: 'note'; readonly set: string; readonly source: number }
  | { readonly kind: 'immediate'; readonly target: number; readonly value: Buffer }
  | { readonly kind: 'verdict'; readonly verdict: Verdict }
  /** Host byte order counter, 0 ≤ n < modulus. */
  | {
      readonly kind: 'numgen';
      readonly mode: 'increment' | 'random';
      readonly modulus: number;
      readonly target: number;
    }
  | {
      readonly kind: 'jhash';
      readonly source: number;
      readonly length: number;
      readonly modulus: number;
      readonly seed: number;
      /** Added to the result; 0 when it is left out. */
      readonly offset?: number | undefined;
      readonly target: number;
    }
  | { readonly kind: 'dnat' | 'snat'; readonly address: number; readonly port?: number | undefined }
  | { readonly kind: 'redirect'; readonly port: number }
  /** Largest TCP segment that the packet's route takes, 2 bytes in host order. */
  | { readonly kind: 'route-tcp-mss'; readonly target: number }
  /** Turns 2 bytes from host to network order. */
  | { readonly kind: 'to-network-order'; readonly source: number; readonly target: number }
  /** Writes the MSS option of a TCP handshake, which the kernel only ever lowers; 2 bytes in network order. */
  | { readonly kind: 'tcp-mss-set'; readonly source: number }
  | { readonly kind: 'masquerade' }
  /** Connection tracking lets the packet pass unseen; before it, at priority -300. */
  | { readonly kind: 'notrack' }
  | { readonly kind: 'reject'; readonly reply: 'tcp-reset' | 'port-unreachable' }
  /** Type of the destination address, compare with `FIB_TYPE_LOCAL`. */
  | { readonly kind: 'fib-destination-type'; readonly target: number };

/** NFTA_LIST_ELEM with name and data. @param family of the table */
export function writeExpression(
  writer: MessageWriter,
  expression: Expression,
  family: number,
): void {
  writer.nested(EXPRESSION_ELEMENT, (element) => {
    element.attributeString(EXPRESSION_NAME, expressionName(expression));
    element.nested(EXPRESSION_DATA, (fields) => writeFields(fields, expression, family));
  });
}

export function writeDataValue(writer: MessageWriter, type: number, value: Uint8Array): void {
  writer.nested(type, (data) => data.attribute(DATA_VALUE, value));
}

export function writeVerdict(writer: MessageWriter, type: number, verdict: Verdict): void {
  writer.nested(type, (data) =>
    data.nested(DATA_VERDICT, (fields) => {
      fields.attributeBe32(VERDICT_CODE, VERDICT[verdict.verdict]);
      if ('chain' in verdict) fields.attributeString(VERDICT_CHAIN, verdict.chain);
    }),
  );
}

function expressionName(expression: Expression): string {
  switch (expression.kind) {
    case 'meta-set':
      return 'meta';
    case 'ct-set':
    case 'ct-original-zone-set':
      return 'ct';
    case 'note':
      return 'dynset';
    case 'verdict':
      return 'immediate';
    case 'jhash':
      return 'hash';
    case 'dnat':
    case 'snat':
      return 'nat';
    case 'redirect':
      return 'redir';
    case 'masquerade':
      return 'masq';
    case 'route-tcp-mss':
      return 'rt';
    case 'to-network-order':
      return 'byteorder';
    case 'tcp-mss-set':
      return 'exthdr';
    case 'fib-destination-type':
      return 'fib';
    default:
      return expression.kind;
  }
}

type FieldWriters = {
  readonly [Kind in Expression['kind']]: (
    writer: MessageWriter,
    expression: Extract<Expression, { readonly kind: Kind }>,
    family: number,
  ) => void;
};

/** A mapped type, so that an expression without an encoding does not compile. */
const FIELDS: FieldWriters = {
  meta: (writer, { key, target }) => {
    writer.attributeBe32(1, target).attributeBe32(2, META_KEY[key]);
  },
  'meta-set': (writer, { key, source }) => {
    writer.attributeBe32(2, META_KEY[key]).attributeBe32(3, source);
  },
  ct: (writer, { key, target }) => {
    writer.attributeBe32(1, target).attributeBe32(2, CT_KEY[key]);
  },
  'ct-set': (writer, { key, source }) => {
    writer.attributeBe32(2, CT_KEY[key]).attributeBe32(4, source);
  },
  'ct-original-zone-set': (writer, { source }) => {
    writer.attributeBe32(2, CT_KEY.zone).attributeU8(3, CT_DIRECTION_ORIGINAL);
    writer.attributeBe32(4, source);
  },
  payload: (writer, { base, offset, length, target }) => {
    writer.attributeBe32(1, target).attributeBe32(2, PAYLOAD_BASE[base]);
    writer.attributeBe32(3, offset).attributeBe32(4, length);
  },
  cmp: (writer, { source, operator, value }) => {
    writer.attributeBe32(1, source).attributeBe32(2, CMP_OPERATOR[operator]);
    writeDataValue(writer, 3, value);
  },
  bitwise: (writer, { source, target, mask, xor }) => {
    writer.attributeBe32(1, source).attributeBe32(2, target).attributeBe32(3, mask.length);
    writeDataValue(writer, 4, mask);
    writeDataValue(writer, 5, xor);
  },
  lookup: (writer, { set, setId, source, target }) => {
    writer.attributeString(1, set).attributeBe32(2, source);
    if (target !== undefined) writer.attributeBe32(3, target);
    if (setId !== undefined) writer.attributeBe32(4, setId);
  },
  note: (writer, { set, source }) => {
    writer.attributeString(1, set).attributeBe32(3, DYNSET_ADD).attributeBe32(4, source);
  },
  immediate: (writer, { target, value }) => {
    writer.attributeBe32(1, target);
    writeDataValue(writer, 2, value);
  },
  verdict: (writer, { verdict }) => {
    writer.attributeBe32(1, 0);
    writeVerdict(writer, 2, verdict);
  },
  numgen: (writer, { mode, modulus, target }) => {
    writer.attributeBe32(1, target).attributeBe32(2, modulus);
    writer.attributeBe32(3, mode === 'random' ? 1 : 0);
  },
  jhash: (writer, { source, length, modulus, seed, offset = 0, target }) => {
    writer.attributeBe32(1, source).attributeBe32(2, target).attributeBe32(3, length);
    writer.attributeBe32(4, modulus).attributeBe32(5, seed);
    if (offset > 0) writer.attributeBe32(6, offset);
  },
  dnat: (writer, { address, port }, family) => writeNat(writer, 1, { family, address, port }),
  snat: (writer, { address, port }, family) => writeNat(writer, 0, { family, address, port }),
  redirect: (writer, { port }) => {
    writer.attributeBe32(1, port);
  },
  'route-tcp-mss': (writer, { target }) => {
    writer.attributeBe32(1, target).attributeBe32(2, ROUTE_KEY_TCP_MSS);
  },
  'to-network-order': (writer, { source, target }) => {
    writer.attributeBe32(1, source).attributeBe32(2, target);
    writer.attributeBe32(3, BYTEORDER_TO_NETWORK).attributeBe32(4, 2).attributeBe32(5, 2);
  },
  'tcp-mss-set': (writer, { source }) => {
    writer.attributeU8(2, TCP_OPTION_MSS).attributeBe32(3, TCP_OPTION_MSS_VALUE);
    writer.attributeBe32(4, 2).attributeBe32(6, EXTHDR_TCP_OPTION).attributeBe32(7, source);
  },
  masquerade: () => undefined,
  notrack: () => undefined,
  reject: (writer, { reply }, family) => {
    const code = family === NF_FAMILY_IPV6 ? ICMPV6_PORT_UNREACHABLE : ICMP_PORT_UNREACHABLE;
    writer.attributeBe32(1, reply === 'tcp-reset' ? REJECT_TCP_RESET : REJECT_ICMP);
    writer.attributeU8(2, reply === 'tcp-reset' ? 0 : code);
  },
  'fib-destination-type': (writer, { target }) => {
    writer.attributeBe32(1, target).attributeBe32(2, FIB_RESULT_ADDRESS_TYPE);
    writer.attributeBe32(3, FIB_FLAG_DESTINATION);
  },
};

function writeFields<Kind extends Expression['kind']>(
  writer: MessageWriter,
  expression: Extract<Expression, { readonly kind: Kind }>,
  family: number,
): void {
  const write: FieldWriters[Kind] = FIELDS[expression.kind as Kind];
  write(writer, expression, family);
}

/** @param type 0 translates the source, 1 the destination */
function writeNat(
  writer: MessageWriter,
  type: 0 | 1,
  nat: {
    readonly family: number;
    readonly address: number;
    readonly port?: number | undefined;
  },
): void {
  writer.attributeBe32(1, type).attributeBe32(2, nat.family);
  writer.attributeBe32(3, nat.address);
  if (nat.port !== undefined) writer.attributeBe32(5, nat.port);
}
