import { decode, encode, type Packet, type Question, TRUNCATED_RESPONSE } from 'dns-packet';
import { decodeAddress, isIpv6 } from 'vxlan-netlink';
import type { Directory, PortServer } from './directory.ts';

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
/** `_port._protocol.service` (RFC 2782). */
const SERVICE_NAME = /^_([^.]+)\._([^.]+)\.(.+)$/;
const REVERSE_SUFFIX_IPV6 = '.ip6.arpa';
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
  const found = answersFor(question, context);
  if (found === undefined) return { kind: 'forward' };
  return { kind: 'answer', packet: limitSize(query, found, transport) };
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

interface Answers {
  readonly answers: readonly Answer[];
  /** Addresses of the names in them, which spare the client more questions. */
  readonly additionals?: readonly Answer[];
}
/** The name exists and has nothing of the type that was asked for. */
const NO_DATA: Answers = { answers: [] };

/** Undefined when the name is not ours. */
function answersFor(question: Question, context: DnsContext): Answers | undefined {
  const name = question.name.toLowerCase().replace(/\.$/, '');
  const address = reversedAddress(name);
  if (address !== undefined) return reverseAnswers(question, address, context);
  const service = SERVICE_NAME.exec(name);
  if (service !== null) return serverAnswers(question, service, context);
  for (const directory of context.directories) {
    const addresses = directory.lookup(name);
    if (addresses === undefined) continue;
    // The name exists: a type that it has nothing of has no data rather than no name.
    const asked = addresses.filter((one) => typeOf(one) === question.type);
    const answers = rotate(asked, context.rotation);
    return { answers: answers.map((one) => addressOf(question.name, one)) };
  }
  return undefined;
}

function typeOf(address: string): 'A' | 'AAAA' {
  return isIpv6(address) ? 'AAAA' : 'A';
}

function addressOf(name: string, address: string): Answer {
  return { type: typeOf(address), name, ttl: TTL_SECONDS, data: address };
}

/** The tasks behind a service's port, each by its name, weight and address; the VIP has no part in it. */
function serverAnswers(
  question: Question,
  [, port = '', protocol = '', name = '']: readonly string[],
  context: DnsContext,
): Answers | undefined {
  for (const directory of context.directories) {
    const servers = directory.servers(port, protocol, name);
    if (servers === undefined) continue;
    if (question.type !== 'SRV') return NO_DATA;
    const target = (server: PortServer): string => `${server.name}.${directory.networkName}`;
    return {
      answers: rotate(servers, context.rotation).map((server) => ({
        type: 'SRV',
        name: question.name,
        ttl: TTL_SECONDS,
        data: { priority: 0, weight: server.weight, port: server.port, target: target(server) },
      })),
      additionals: servers.flatMap((server) =>
        server.addresses.map((address) => addressOf(target(server), address)),
      ),
    };
  }
  return undefined;
}

/** The address that a name of `in-addr.arpa` or `ip6.arpa` stands for. */
function reversedAddress(name: string): string | undefined {
  if (name.endsWith(REVERSE_SUFFIX)) {
    return name.slice(0, -REVERSE_SUFFIX.length).split('.').reverse().join('.');
  }
  if (!name.endsWith(REVERSE_SUFFIX_IPV6)) return undefined;
  const digits = name.slice(0, -REVERSE_SUFFIX_IPV6.length).split('.').reverse().join('');
  // Of a prefix alone, for instance: no address, and no name of ours.
  return /^[0-9a-f]{32}$/.test(digits) ? decodeAddress(Buffer.from(digits, 'hex')) : name;
}

function reverseAnswers(
  question: Question,
  address: string,
  context: DnsContext,
): Answers | undefined {
  for (const directory of context.directories) {
    const found = directory.reverse(address);
    if (found === undefined) continue;
    if (question.type !== 'PTR') return NO_DATA;
    const data = `${found}.${directory.networkName}`;
    return { answers: [{ type: 'PTR', name: question.name, ttl: TTL_SECONDS, data }] };
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

/** Over UDP additional records are left out first; what still does not fit is asked for again by TCP. */
function limitSize(
  query: Packet,
  { answers, additionals = [] }: Answers,
  transport: 'udp' | 'tcp',
): Buffer {
  const limit = transport === 'tcp' ? Number.POSITIVE_INFINITY : udpLimit(query);
  const whole = encode(reply(query, answers, 0, additionals));
  if (whole.length <= limit) return whole;
  const short = encode(reply(query, answers, 0));
  return short.length <= limit ? short : encode(reply(query, [], TRUNCATED_RESPONSE));
}

function offersEdns(query: Packet): boolean {
  return query.additionals?.some(({ type }) => type === 'OPT') === true;
}

function udpLimit(query: Packet): number {
  const option = query.additionals?.find((record) => record.type === 'OPT');
  const offered = option?.type === 'OPT' ? option.udpPayloadSize : 0;
  return Math.max(UDP_ANSWER_MAX, offered);
}

function reply(
  query: Packet,
  answers: readonly Answer[],
  flags: number,
  additionals: readonly Answer[] = [],
): Packet {
  return {
    type: 'response',
    id: query.id ?? 0,
    flags: flags | RECURSION_AVAILABLE | ((query.flags ?? 0) & RECURSION_DESIRED),
    questions: query.questions ?? [],
    answers: [...answers],
    // Whoever speaks EDNS0 is told that we do (RFC 6891 section 6.1.1).
    additionals: [...additionals, ...(offersEdns(query) ? [EDNS] : [])],
  };
}

function failure(query: Packet, code: number): Buffer {
  return encode(reply(query, [], code & RCODE_MASK));
}

function rotate<T>(list: readonly T[], by: number): readonly T[] {
  if (list.length < 2) return list;
  const start = by % list.length;
  return [...list.slice(start), ...list.slice(0, start)];
}
