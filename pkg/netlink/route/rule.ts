import { encodeBody, type Message, MessageFlag, readAttributes } from '../message.ts';

const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const RTM_GETRULE = 34;
const AF_INET = 2;
const FIB_RULE_HEADER_LENGTH = 12;
const FR_ACT_TO_TBL = 1;
const Attribute = { priority: 6, mark: 10, table: 15, mask: 16 } as const;

/** `ip rule fwmark MARK/MASK table TABLE`. */
export interface MarkRule {
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

export function dumpRules(): Message {
  const body = encodeBody((writer) =>
    writer.u8(AF_INET).bytes(Buffer.alloc(FIB_RULE_HEADER_LENGTH - 1)),
  );
  return { type: RTM_GETRULE, flags: 0, body };
}

/** Rules that select by something else have mark 0. */
export function parseRule(body: Buffer): MarkRule {
  const attributes = readAttributes(body, FIB_RULE_HEADER_LENGTH);
  const number = (type: number): number => attributes.get(type)?.readUInt32LE(0) ?? 0;
  return {
    mark: number(Attribute.mark),
    mask: number(Attribute.mask),
    table: number(Attribute.table) || body.readUInt8(4),
    priority: number(Attribute.priority),
  };
}

function encode(rule: MarkRule): Buffer {
  return encodeBody((writer) => {
    writer.u8(AF_INET).u8(0).u8(0).u8(0);
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
