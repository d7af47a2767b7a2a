import { encodeBody, type Message, MessageFlag, readAttributes } from '../message.ts';

const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const RTM_GETRULE = 34;
const AF_UNSPEC = 0;
const AF_INET = 2;
const AF_INET6 = 10;
const FIB_RULE_HEADER_LENGTH = 12;
const FR_ACT_TO_TBL = 1;
const Attribute = { priority: 6, mark: 10, table: 15, mask: 16 } as const;

/** `ip rule fwmark MARK/MASK table TABLE`. */
export interface MarkRule {
  readonly family: 'ipv4' | 'ipv6';
  readonly mark: number;
  readonly mask: number;
  readonly table: number;
  /** Lower is asked earlier. */
  readonly priority: number;
}

export function newRule(rule: MarkRule): Message {
  const flags = MessageFlag.create | MessageFlag.exclusive;
  return { type: RTM_NEWRULE, flags, body: encode(rule) };
}

export function deleteRule(rule: MarkRule): Message {
  return { type: RTM_DELRULE, flags: 0, body: encode(rule) };
}

/** Of all families. */
export function dumpRules(): Message {
  const body = encodeBody((writer) =>
    writer.u8(AF_UNSPEC).bytes(Buffer.alloc(FIB_RULE_HEADER_LENGTH - 1)),
  );
  return { type: RTM_GETRULE, flags: 0, body };
}

/** Rules that select by something else have mark 0. Undefined for one of another family, such as multicast routing's. */
export function parseRule(body: Buffer): MarkRule | undefined {
  const family = body.readUInt8(0);
  if (family !== AF_INET && family !== AF_INET6) return undefined;
  const attributes = readAttributes(body, FIB_RULE_HEADER_LENGTH);
  const number = (type: number): number => attributes.get(type)?.readUInt32LE(0) ?? 0;
  return {
    family: family === AF_INET6 ? 'ipv6' : 'ipv4',
    mark: number(Attribute.mark),
    mask: number(Attribute.mask),
    table: number(Attribute.table) || body.readUInt8(4),
    priority: number(Attribute.priority),
  };
}

function encode(rule: MarkRule): Buffer {
  return encodeBody((writer) => {
    writer
      .u8(rule.family === 'ipv6' ? AF_INET6 : AF_INET)
      .u8(0)
      .u8(0)
      .u8(0);
    writer
      .u8(rule.table < 256 ? rule.table : 0)
      .u8(0)
      .u8(0)
      .u8(FR_ACT_TO_TBL)
      .u32(0);
    writer.attributeU32(Attribute.priority, rule.priority);
    writer.attributeU32(Attribute.mark, rule.mark).attributeU32(Attribute.mask, rule.mask);
    writer.attributeU32(Attribute.table, rule.table);
  });
}
