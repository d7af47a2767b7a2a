import type { Message, MessageWriter } from '../message.ts';
import { encodeBody, MessageFlag } from '../message.ts';
import {
  type Expression,
  type Verdict,
  writeDataValue,
  writeExpression,
  writeVerdict,
} from './expression.ts';
import { parseTableName } from './table-name.ts';

const SUBSYSTEM_NFTABLES = 10;
const MessageType = {
  newTable: 0,
  deleteTable: 2,
  newChain: 3,
  deleteChain: 5,
  newRule: 6,
  deleteRule: 8,
  newSet: 9,
  deleteSet: 11,
  newElement: 12,
  deleteElement: 14,
} as const;
const HOOK = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;
const SET_ANONYMOUS = 1;
const SET_CONSTANT = 2;
const SET_MAP = 8;
/** Rules add members. */
const SET_EVAL = 0x20;
const VERDICT_DATA_TYPE = 0xffffff00;
/** An attribute's length field has 16 bits; 500 elements of any kind used here stay below. */
const ELEMENTS_PER_MESSAGE_MAX = 500;

/** Number and length in bytes of nft's datatypes; the number only matters to `nft list`. */
const DATATYPE = {
  integer: [4, 4],
  ipv4: [7, 4],
  ipv6: [8, 16],
  mac: [9, 6],
  protocol: [12, 1],
  port: [13, 2],
  mark: [19, 4],
  /** Of connection tracking. */
  zone: [4, 2],
} as const;

/** User data by which `nft list` knows that keys are in host byte order (libnftnl's NFTNL_UDATA_SET_KEYBYTEORDER). */
const HOST_ORDER_KEY = Buffer.from([0, 4, 1, 0, 0, 0]);

/** More than one: a concatenation; every field is padded to 4 bytes in keys. */
export type KeyType = readonly (keyof typeof DATATYPE)[];

export interface SetShape {
  readonly key: KeyType;
  /** Absent: a set; otherwise a map. */
  readonly value?: KeyType | 'verdict' | undefined;
  /**
   * Rules may add members by `note`. `most`: how many, which the kernel (6.18) makes room for at once, 16 bytes each;
   * absent: 65,535, and the room grows.
   */
  readonly grows?: { readonly most?: number | undefined } | undefined;
}

export interface SetElement {
  readonly key: Buffer;
  readonly value?: Buffer | undefined;
  readonly verdict?: Verdict | undefined;
}

export interface ChainHook {
  readonly type: 'nat' | 'filter' | 'route';
  readonly hook: keyof typeof HOOK;
  readonly priority: number;
}

/** A map or set written within a rule, destroyed with it. */
export interface AnonymousLookup {
  readonly kind: 'anonymous-lookup';
  readonly shape: SetShape;
  readonly elements: readonly SetElement[];
  readonly source: number;
  readonly target?: number | undefined;
}

export type RuleExpression = Expression | AnonymousLookup;

/** One step of an nf_tables transaction, as plain data. Tables are named `name` (IPv4) or `ip6 name` (IPv6). */
export type Command =
  | { readonly do: 'add-table' | 'delete-table'; readonly table: string }
  | {
      readonly do: 'add-chain';
      readonly table: string;
      readonly chain: string;
      readonly hook?: ChainHook | undefined;
    }
  | { readonly do: 'delete-chain' | 'flush-chain'; readonly table: string; readonly chain: string }
  | {
      readonly do: 'add-rule';
      readonly table: string;
      readonly chain: string;
      readonly expressions: readonly RuleExpression[];
    }
  | {
      readonly do: 'add-set';
      readonly table: string;
      readonly set: string;
      readonly shape: SetShape;
    }
  | { readonly do: 'delete-set'; readonly table: string; readonly set: string }
  | {
      readonly do: 'add-elements' | 'delete-elements';
      readonly table: string;
      readonly set: string;
      readonly elements: readonly SetElement[];
    };

/** `struct nfgenmsg`. */
export function writeFamilyHeader(writer: MessageWriter, family: number, resource = 0): void {
  writer.u8(family).u8(0).be16(resource);
}

/** Sets of one transaction are numbered so that rules of it can name them. */
interface Numbering {
  nextSetId: number;
}

export function encodeCommand(command: Command, numbering: Numbering): readonly Message[] {
  const { table } = command;
  switch (command.do) {
    case 'add-table':
      return [message('newTable', table)];
    case 'delete-table':
      return [message('deleteTable', table)];
    case 'add-chain':
      return [message('newChain', table, (w) => writeChain(w, command))];
    case 'delete-chain':
      return [message('deleteChain', table, (w) => w.attributeString(3, command.chain))];
    case 'flush-chain':
      return [message('deleteRule', table, (w) => w.attributeString(2, command.chain))];
    case 'add-rule':
      return encodeRule(command, numbering);
    case 'add-set':
      return [encodeSet(command, 0, numbering.nextSetId++)];
    case 'delete-set':
      return [message('deleteSet', table, (w) => w.attributeString(2, command.set))];
    case 'add-elements':
      return encodeElements('newElement', command);
    case 'delete-elements':
      return encodeElements('deleteElement', command);
  }
}

/** Every message begins with the table, whose family is in the header. */
function message(
  type: keyof typeof MessageType,
  table: string,
  write?: (writer: MessageWriter) => void,
): Message {
  const { family, name } = parseTableName(table);
  const adds = type.startsWith('new');
  const flags = (adds ? MessageFlag.create : 0) | (type === 'newRule' ? MessageFlag.append : 0);
  const body = encodeBody((writer) => {
    writeFamilyHeader(writer, family);
    writer.attributeString(1, name);
    write?.(writer);
  });
  return { type: (SUBSYSTEM_NFTABLES << 8) | MessageType[type], flags, body };
}

function writeChain(writer: MessageWriter, command: Extract<Command, { do: 'add-chain' }>): void {
  writer.attributeString(3, command.chain);
  const { hook } = command;
  if (hook === undefined) return;
  writer.nested(4, (fields) =>
    fields.attributeBe32(1, HOOK[hook.hook]).attributeBe32(2, hook.priority),
  );
  writer.attributeString(7, hook.type);
}

function encodeRule(
  command: Extract<Command, { do: 'add-rule' }>,
  numbering: Numbering,
): readonly Message[] {
  const before: Message[] = [];
  const { table } = command;
  const { family } = parseTableName(table);
  const expressions = command.expressions.map((expression): Expression => {
    if (expression.kind !== 'anonymous-lookup') return expression;
    const setId = numbering.nextSetId++;
    const set = expression.shape.value === undefined ? '__set%d' : '__map%d';
    before.push(
      encodeSet({ table, set, shape: expression.shape }, SET_ANONYMOUS | SET_CONSTANT, setId),
    );
    before.push(
      ...encodeElements('newElement', { table, set, elements: expression.elements }, setId),
    );
    return { kind: 'lookup', set, setId, source: expression.source, target: expression.target };
  });
  const rule = message('newRule', table, (writer) => {
    writer.attributeString(2, command.chain);
    writer.nested(4, (list) => {
      for (const expression of expressions) writeExpression(list, expression, family);
    });
  });
  return [...before, rule];
}

function encodeSet(
  set: { readonly table: string; readonly set: string; readonly shape: SetShape },
  flags: number,
  id: number,
): Message {
  const { key, value, grows } = set.shape;
  return message('newSet', set.table, (writer) => {
    writer.attributeString(2, set.set);
    const kind = (value === undefined ? 0 : SET_MAP) | (grows === undefined ? 0 : SET_EVAL);
    writer.attributeBe32(3, flags | kind);
    writer.attributeBe32(4, typeNumber(key)).attributeBe32(5, typeLength(key));
    if (value === 'verdict') {
      writer.attributeBe32(6, VERDICT_DATA_TYPE).attributeBe32(7, 0);
    } else if (value !== undefined) {
      writer.attributeBe32(6, typeNumber(value)).attributeBe32(7, typeLength(value));
    }
    const { most } = grows ?? {};
    if (most !== undefined) writer.nested(9, (fields) => fields.attributeBe32(1, most));
    writer.attributeBe32(10, id);
    if (key[0] === 'integer') writer.attribute(13, HOST_ORDER_KEY);
  });
}

function encodeElements(
  type: 'newElement' | 'deleteElement',
  command: {
    readonly table: string;
    readonly set: string;
    readonly elements: readonly SetElement[];
  },
  setId?: number,
): readonly Message[] {
  const messages: Message[] = [];
  for (let start = 0; start < command.elements.length; start += ELEMENTS_PER_MESSAGE_MAX) {
    const some = command.elements.slice(start, start + ELEMENTS_PER_MESSAGE_MAX);
    messages.push(
      message(type, command.table, (writer) => {
        writer.attributeString(2, command.set);
        if (setId !== undefined) writer.attributeBe32(4, setId);
        writer.nested(3, (list) => {
          for (const element of some) writeElement(list, element);
        });
      }),
    );
  }
  return messages;
}

function writeElement(writer: MessageWriter, element: SetElement): void {
  writer.nested(1, (fields) => {
    writeDataValue(fields, 1, element.key);
    if (element.verdict !== undefined) writeVerdict(fields, 2, element.verdict);
    if (element.value !== undefined) writeDataValue(fields, 2, element.value);
  });
}

/** nft packs the datatype numbers of a concatenation into 6 bits each. */
function typeNumber(type: KeyType): number {
  return type.reduce((number, field) => (number << 6) | DATATYPE[field][0], 0);
}

function typeLength(type: KeyType): number {
  const [only] = type;
  if (type.length === 1 && only !== undefined) return DATATYPE[only][1];
  return type.reduce((length, field) => length + ((DATATYPE[field][1] + 3) & ~3), 0);
}
