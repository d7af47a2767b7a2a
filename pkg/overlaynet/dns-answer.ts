import { decode, encode, type Packet, type Question, TRUNCATED_RESPONSE } from 'dns-packet';
import type { Directory } from './directory.ts';

/** Seconds a client may keep our answers (RFC 1035 section 3.2.1): short, because tasks move. */
const TTL_SECONDS = 5;
/** Largest UDP answer for a client without EDNS0 (RFC 1035 section 4.2.1). */
const UDP_ANSWER_MAX = 512;
/** What we take of a question: more than any needs, and never broken up on its way (DNS flag day 2020). */
const UDP_QUESTION_MAX = 1232;
const EDNS: Answer = {
  type: 'OPT',
  name: '.',
  udpPayloadSize: UDP_QUESTION_MAX,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
};
const REVERSE_SUFFIX = '.in-addr.arpa';
const RECURSION_DESIRED = 0x100;
const RECURSION_AVAILABLE = 0x80;
const RCODE_MASK = 0xf;
const RCODE = { formatError: 1, serverFailure: 2, noSuchName: 3 } as const;

export interface DnsContext {
  /** The container's networks, first match wins. */
  readonly directories: readonly Directory[];
  /** Grows with every query: rotates the order of several addresses. */
  readonly rotation: number;
}

/** `forward`: the name is not ours. */
export type DnsDecision =
  | { readonly kind: 'answer'; readonly packet: Buffer }
  | { readonly kind: 'forward' }
  | { readonly kind: 'ignore' };

/** Answers a query from the directories, if it is about one of our names. Pure. */
export function answerQuery(
  message: Buffer,
  transport: 'udp' | 'tcp',
  context: DnsContext,
): DnsDecision {
  const query = decodeQuery(message);
  if (query === undefined) return { kind: 'ignore' };
  const [question] = query.questions ?? [];
  if (question === undefined || query.questions?.length !== 1) {
    return { kind: 'answer', packet: failure(query, RCODE.formatError) };
  }
  const answers = answersFor(question, context);
  if (answers === undefined) return { kind: 'forward' };
  return { kind: 'answer', packet: limitSize(query, answers, transport) };
}

/** The reply for a name that nobody could be asked about. */
export function refuseQuery(
  message: Buffer,
  reason: 'server-failure' | 'no-such-name',
): Buffer | undefined {
  const query = decodeQuery(message);
  if (query === undefined) return undefined;
  const code = reason === 'server-failure' ? RCODE.serverFailure : RCODE.noSuchName;
  try {
    return failure(query, code);
  } catch {
    // A question that decodes but does not encode again: answered without it.
    return failure({ ...query, questions: [] }, code);
  }
}

type Answer = NonNullable<Packet['answers']>[number];

/** Undefined when the name is not ours. */
function answersFor(question: Question, context: DnsContext): readonly Answer[] | undefined {
  const name = question.name.toLowerCase().replace(/\.$/, '');
  if (name.endsWith(REVERSE_SUFFIX)) return reverseAnswers(question, name, context);
  for (const directory of context.directories) {
    const addresses = directory.lookup(name);
    if (addresses === undefined) continue;
    // The name exists: any other type than A has no data rather than no name.
    if (question.type !== 'A') return [];
    return rotate(addresses, context.rotation).map((address) => ({
      type: 'A',
      name: question.name,
      ttl: TTL_SECONDS,
      data: address,
    }));
  }
  return undefined;
}

function reverseAnswers(
  question: Question,
  name: string,
  context: DnsContext,
): readonly Answer[] | undefined {
  const address = name.slice(0, -REVERSE_SUFFIX.length).split('.').reverse().join('.');
  for (const directory of context.directories) {
    const found = directory.reverse(address);
    if (found === undefined) continue;
    if (question.type !== 'PTR') return [];
    const data = `${found}.${directory.networkName}`;
    return [{ type: 'PTR', name: question.name, ttl: TTL_SECONDS, data }];
  }
  return undefined;
}

function decodeQuery(message: Buffer): Packet | undefined {
  try {
    const packet = decode(message);
    return packet.type === 'query' ? packet : undefined;
  } catch {
    return undefined;
  }
}

function limitSize(query: Packet, answers: readonly Answer[], transport: 'udp' | 'tcp'): Buffer {
  const whole = encode(reply(query, [...answers], 0));
  if (transport === 'tcp' || whole.length <= udpLimit(query)) return whole;
  return encode(reply(query, [], TRUNCATED_RESPONSE));
}

function offersEdns(query: Packet): boolean {
  return query.additionals?.some(({ type }) => type === 'OPT') === true;
}

function udpLimit(query: Packet): number {
  const option = query.additionals?.find((record) => record.type === 'OPT');
  const offered = option?.type === 'OPT' ? option.udpPayloadSize : 0;
  return Math.max(UDP_ANSWER_MAX, offered);
}

function reply(query: Packet, answers: Answer[], flags: number): Packet {
  return {
    type: 'response',
    id: query.id ?? 0,
    flags: flags | RECURSION_AVAILABLE | ((query.flags ?? 0) & RECURSION_DESIRED),
    questions: query.questions ?? [],
    answers,
    // Whoever speaks EDNS0 is told that we do (RFC 6891 section 6.1.1).
    additionals: offersEdns(query) ? [EDNS] : [],
  };
}

function failure(query: Packet, code: number): Buffer {
  return encode(reply(query, [], code & RCODE_MASK));
}

function rotate(addresses: readonly string[], by: number): readonly string[] {
  if (addresses.length < 2) return addresses;
  const start = by % addresses.length;
  return [...addresses.slice(start), ...addresses.slice(0, start)];
}
