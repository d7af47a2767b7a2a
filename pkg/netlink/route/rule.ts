import { encodeBody, type Message, MessageFlag, readAttributes } from '../message.ts';

const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const RTM_GETRULE = 34;
const AF_UNSPEC = 0;
const AF_INET = 2;
const AF_INET6 = 10;
const FIB_RULE_HEADER_LENGTH = 12;
const FR_ACT_TO_TBL = 1;
const FR_ACT_GOTO = 2;
const FIB_RULE_INVERT = 2;
const Attribute = { goto: 4, priority: 6, mark: 10, table: 15, mask: 16 } as const;

/** `ip rule fwmark MARK/MASK table TABLE`, or `ip rule not fwmark MARK/MASK goto PRIORITY`. */
export interface MarkRule {
  readonly family: 'ipv4' | 'ipv6';
  readonly mark: number;
  readonly mask: number;
  /** 0 with `others`. */
  readonly table: number;
  /** Lower is asked earlier. */
  readonly priority: number;
  /**
   * What has another mark goes on with the rules of this later priority, which spares it those between: 4 ns each
   * for every route that is looked up. Without a rule of that very priority the kernel passes over this one.
   */
  readonly others?: { readonly goOnAt: number } | undefined;
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
  const isInverted = (body.readUInt32LE(8) & FIB_RULE_INVERT) !== 0;
  const goOnAt = isInverted ? number(Attribute.goto) : 0;
  return {
    family: family === AF_INET6 ? 'ipv6' : 'ipv4',
    mark: number(Attribute.mark),
    mask: number(Attribute.mask),
    table: number(Attribute.table) || body.readUInt8(4),
    priority: number(Attribute.priority),
    ...(goOnAt > 0 && { others: { goOnAt } }),
  };
}

function encode(rule: MarkRule): Buffer {
  const { others } = rule;
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
      .u8(others ? FR_ACT_GOTO : FR_ACT_TO_TBL)
      .u32(others ? FIB_RULE_INVERT : 0);
    writer.attributeU32(Attribute.priority, rule.priority);
    writer.attributeU32(Attribute.mark, rule.mark).attributeU32(Attribute.mask, rule.mask);
    if (others) writer.attributeU32(Attribute.goto, others.goOnAt);
    else writer.attributeU32(Attribute.table, rule.table);
  });
}
