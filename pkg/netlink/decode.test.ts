/** Whatever comes in, decoders end, and they either answer or throw a RangeError. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readAcknowledgement } from './acknowledgement.ts';
import { findConnections } from './conntrack.ts';
import { eachAttribute, encodeBody, readAttributes, readString, splitMessages } from './message.ts';
import { listTable } from './nftables/listing.ts';
import { parseAddress } from './route/address.ts';
import { newLink, parseLink } from './route/link.ts';
import { parseFdbEntry, parseNeighbour, putFdbEntry } from './route/neighbour.ts';
import { newRoute, parseRoute } from './route/route.ts';
import { parseRule } from './route/rule.ts';
import type { NetlinkSocket } from './socket.ts';

type Dump = Parameters<NetlinkSocket['dump']>;

/** A socket whose kernel answers every dump with this. */
const saying = (body: Buffer, answer = body): NetlinkSocket =>
  ({
    dump: (_: Dump[0], wants: Dump[1] = () => true) => [body].filter(wants),
    request: () => [answer],
  }) as unknown as NetlinkSocket;
/** How many connections are tracked. */
const count = (entries: number): Buffer =>
  encodeBody((writer) => writer.u32(0).attributeBe32(1, entries));

const DECODERS: Readonly<Record<string, (body: Buffer) => unknown>> = {
  acknowledgement: readAcknowledgement,
  attributes: (body) => [...readAttributes(body).values()].map(readString),
  messages: (body) => [...splitMessages(body)],
  link: parseLink,
  address: parseAddress,
  route: parseRoute,
  rule: parseRule,
  neighbour: parseNeighbour,
  'FDB entry': parseFdbEntry,
  'count of connections': (body) => findConnections(saying(body)),
  connections: (body) => findConnections(saying(body, count(1))),
  'connections of one': (body) =>
    findConnections(saying(body, count(1)), { answeredBy: new Set(['10.0.0.1']), protocol: 17 }),
  table: (body) => listTable(saying(body), readString(readAttributes(body, 4).get(1))),
};

/** True for an answer, false for a RangeError; anything else fails the test. */
function decodes(decode: (body: Buffer) => unknown, body: Buffer): boolean {
  try {
    decode(body);
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(RangeError);
    return false;
  }
}

/** Attributes within attributes, some with a length that is a lie. */
const attributes = fc.letrec<{ tree: Buffer }>((tie) => ({
  tree: fc
    .array(
      fc.record({
        type: fc.nat(40),
        value: fc.oneof(
          { depthSize: 'small' },
          fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
          tie('tree'),
        ),
        lie: fc.option(fc.nat(0xffff), { freq: 8 }),
      }),
      { maxLength: 6 },
    )
    .map((list) =>
      Buffer.concat(
        list.map(({ type, value, lie }) => {
          const bytes = Buffer.from(encodeBody((writer) => writer.attribute(type, value)));
          if (lie !== null) bytes.writeUInt16LE(lie, 0);
          return bytes;
        }),
      ),
    ),
})).tree;
const anyBody = fc.oneof(
  fc.uint8Array({ maxLength: 256 }).map((bytes) => Buffer.from(bytes)),
  fc
    .tuple(fc.uint8Array({ maxLength: 32 }), attributes)
    .map(([head, tail]) => Buffer.concat([head, tail])),
);

test.each(Object.entries(DECODERS))('%s: random bytes and lying lengths', (_, decode) => {
  fc.assert(
    fc.property(anyBody, (body) => {
      decodes(decode, body);
    }),
    { numRuns: 500 },
  );
});

test.each<[string, (body: Buffer) => unknown, Buffer]>([
  [
    'link',
    parseLink,
    newLink({ kind: 'vxlan', name: 'vx0', vni: 1, local: '192.0.2.1', port: 4789 }).body,
  ],
  ['route', parseRoute, newRoute({ destination: '192.0.2.0/24', link: 3 }).body],
  [
    'FDB entry',
    parseFdbEntry,
    putFdbEntry({ link: 3, mac: '02:00:00:00:00:01', tunnel: '192.0.2.1' }).body,
  ],
])('%s: cut at every byte', (_, decode, whole) => {
  for (let length = 0; length < whole.length; length++) {
    decodes(decode, Buffer.from(whole.subarray(0, length)));
  }
  expect(decodes(decode, whole)).toBe(true);
});

test('walks end after as many steps as there are bytes for', () => {
  fc.assert(
    fc.property(anyBody, (body) => {
      expect([...eachAttribute(body)].length).toBeLessThanOrEqual(body.length / 4);
      expect([...splitMessages(body)].length).toBeLessThanOrEqual(body.length / 16);
    }),
  );
});
