import { createHash } from 'node:crypto';
import {
  eachAttribute,
  encodeBody,
  type Message,
  type ReceivedMessage,
  readAttributes,
  readString,
} from '../message.ts';
import type { NetlinkSocket } from '../socket.ts';
import { hasCode } from '../syscall-error.ts';
import { writeFamilyHeader } from './command.ts';
import { formatTableName, parseTableName, type TableName } from './table-name.ts';

const NF_FAMILY_ANY = 0;
const FAMILY_HEADER_LENGTH = 4;
const GET = {
  table: 0xa01,
  chain: 0xa04,
  rule: 0xa07,
  set: 0xa0a,
  element: 0xa0d,
  generation: 0xa10,
} as const;
/** NFT_MSG_NEWGEN */
const NEW_GENERATION = 0xa0f;
const GENERATION_ID = 1;

/** What the kernel holds of one table. */
export interface TableListing {
  readonly chains: readonly string[];
  /** Number of rules per chain, in chain order. */
  readonly ruleCounts: ReadonlyMap<string, number>;
  readonly sets: ReadonlyMap<string, readonly ListedElement[]>;
  /** As `digestTable` has it. */
  readonly digest: string;
}

/** A table without the members of its sets. */
interface Outline extends Pick<TableListing, 'chains' | 'ruleCounts' | 'digest'> {
  readonly sets: readonly string[];
}

export interface ListedElement {
  /** Hexadecimal. */
  readonly key: string;
  /** Hexadecimal; empty for set members and verdicts. */
  readonly value: string;
  /** Chain of a jump or goto. */
  readonly chain: string;
}

/** Number of the last committed transaction in the socket's namespace, whoever made it. */
export function readGeneration(socket: NetlinkSocket): number {
  const message = request(GET.generation, 0);
  const [answer] = socket.request(message);
  return generationOf(answer ?? Buffer.alloc(0));
}

/** The number of a transaction among what `transact` returned; undefined when it changed nothing. */
export function generationIn(answers: readonly ReceivedMessage[]): number | undefined {
  const answer = answers.find(({ type }) => type === NEW_GENERATION);
  return answer && generationOf(answer.body);
}

function generationOf(body: Buffer): number {
  const attributes = readAttributes(body, FAMILY_HEADER_LENGTH);
  return attributes.get(GENERATION_ID)?.readUInt32BE(0) ?? 0;
}

/** Names of the IPv4 tables, and of the IPv6 ones as `ip6 name`. */
export function listTables(socket: NetlinkSocket): readonly string[] {
  return socket.dump(request(GET.table, NF_FAMILY_ANY)).flatMap((body) => {
    const name = readString(readAttributes(body, FAMILY_HEADER_LENGTH).get(1));
    return formatTableName({ family: body.readUInt8(0), name }) ?? [];
  });
}

/** Reads a table back; undefined when there is none. */
export function listTable(socket: NetlinkSocket, text: string): TableListing | undefined {
  if (!listTables(socket).includes(text)) return undefined;
  const table = parseTableName(text);
  const outline = readOutline(socket, table);
  const sets = outline.sets.map((set) => [set, listElements(socket, table, set)] as const);
  return { ...outline, sets: new Map(sets) };
}

/**
 * Changes whenever a chain or rule changes, and when a set comes or goes, not with the members of sets nor the counters
 * of `numgen`; two tables made by different transactions may differ. Undefined when there is no table.
 */
export function digestTable(socket: NetlinkSocket, text: string): string | undefined {
  if (!listTables(socket).includes(text)) return undefined;
  return readOutline(socket, parseTableName(text)).digest;
}

function readOutline(socket: NetlinkSocket, table: TableName): Outline {
  const hash = createHash('sha256');
  const read = (type: number): readonly ReadonlyMap<number, Buffer>[] =>
    socket
      .dump(request(type, table.family, table.name))
      .map((body) => readAttributes(body, FAMILY_HEADER_LENGTH))
      .filter((attributes) => readString(attributes.get(1)) === table.name);
  const chains = read(GET.chain).map((chain) => {
    const name = readString(chain.get(3));
    hash.update(`chain ${name} `).update(chain.get(4) ?? '');
    return name;
  });
  const ruleCounts = new Map<string, number>(chains.map((chain) => [chain, 0]));
  for (const rule of read(GET.rule)) {
    const chain = readString(rule.get(2));
    ruleCounts.set(chain, (ruleCounts.get(chain) ?? 0) + 1);
    hash.update(`rule ${chain} `).update(rule.get(4) ?? '');
  }
  const sets = read(GET.set).map((set) => readString(set.get(2)));
  for (const set of sets) hash.update(`set ${set} `);
  return { chains, ruleCounts, sets, digest: hash.digest('hex') };
}

/** Keys of the members of one set, in hexadecimal and in order; none where there is no such set or table. */
export function listMembers(socket: NetlinkSocket, table: string, set: string): readonly string[] {
  return listElements(socket, parseTableName(table), set).map(({ key }) => key);
}

/** Members of one set in key order. */
function listElements(
  socket: NetlinkSocket,
  { family, name: table }: TableName,
  set: string,
): readonly ListedElement[] {
  const elements: ListedElement[] = [];
  let bodies: readonly Buffer[] = [];
  try {
    bodies = socket.dump(request(GET.element, family, table, set));
  } catch (error) {
    // There is none, or it went away between two dumps.
    if (!hasCode(error, 'ENOENT')) throw error;
  }
  for (const body of bodies) {
    const list = readAttributes(body, FAMILY_HEADER_LENGTH).get(3) ?? Buffer.alloc(0);
    for (const [, element] of eachAttribute(list)) elements.push(parseElement(element));
  }
  return elements.sort((left, right) => (left.key < right.key ? -1 : 1));
}

function parseElement(element: Buffer): ListedElement {
  const none = Buffer.alloc(0);
  const fields = readAttributes(element);
  const key = readAttributes(fields.get(1) ?? none).get(1) ?? none;
  const data = readAttributes(fields.get(2) ?? none);
  const verdict = readAttributes(data.get(2) ?? none);
  return {
    key: key.toString('hex'),
    value: (data.get(1) ?? none).toString('hex'),
    chain: readString(verdict.get(2)),
  };
}

function request(type: number, family: number, table?: string, set?: string): Message {
  const body = encodeBody((writer) => {
    writeFamilyHeader(writer, family);
    if (table !== undefined) writer.attributeString(1, table);
    if (set !== undefined && set !== '') writer.attributeString(2, set);
  });
  return { type, flags: 0, body };
}
