import { createSocket } from 'node:dgram';
import { decode, encode, type Packet, type RecordType } from 'dns-packet';
import { describe, expect, test } from 'vitest';
import { directoryOfContainers, directoryOfTable } from './directory.ts';
import { renderHosts, renderResolvConf } from './dns.ts';
import { answerQuery, refuseQuery } from './dns-answer.ts';
import { DnsForwarder, frame, unframe } from './dns-forward.ts';
import { networkTable } from './testing/table.ts';

const many = Array.from({ length: 60 }, (_, index) => ({
  address: `10.0.1.${10 + index}`,
  node: 1,
}));
const directories = [
  directoryOfTable(networkTable({ endpoints: many, services: [{ name: 'web', vip: '10.0.1.2' }] })),
  directoryOfContainers('blue', [{ name: 'box', aliases: ['web', 'db'], address: '172.19.0.2' }]),
];

function ask(
  name: string,
  options: { type?: RecordType; transport?: 'udp' | 'tcp'; rotation?: number; edns?: number } = {},
): Packet | string {
  const { type = 'A', transport = 'udp', rotation = 0, edns } = options;
  const query: Packet = {
    type: 'query',
    id: 7,
    flags: 0x100,
    questions: [{ type, name }] as never,
  };
  if (edns !== undefined) {
    query.additionals = [
      {
        type: 'OPT',
        name: '.',
        udpPayloadSize: edns,
        extendedRcode: 0,
        ednsVersion: 0,
        flags: 0,
        flag_do: false,
        options: [],
      },
    ];
  }
  const decision = answerQuery(encode(query), transport, { directories, rotation });
  return decision.kind === 'answer' ? decode(decision.packet) : decision.kind;
}

const addresses = (reply: Packet | string): readonly unknown[] =>
  typeof reply === 'string'
    ? [reply]
    : (reply.answers ?? []).map((answer) => 'data' in answer && answer.data);

test('a client that speaks EDNS0 is told that we do, another is not', () => {
  const told = (reply: Packet | string): unknown =>
    typeof reply === 'string' ? reply : reply.additionals?.map(({ type }) => type);
  expect(told(ask('web', { edns: 4096 }))).toEqual(['OPT']);
  expect(told(ask('web'))).toEqual([]);
});

test('a resolver that was silent is asked last from then on', async () => {
  const asked: string[] = [];
  const [silent, alive] = await Promise.all(
    ['silent', 'alive'].map(async (name) => {
      const socket = createSocket('udp4');
      socket.on('message', (message, { port }) => {
        asked.push(name);
        if (name === 'alive') socket.send(message, port, '127.0.0.1');
      });
      await new Promise<void>((resolve) => {
        socket.bind(0, '127.0.0.1', resolve);
      });
      return socket;
    }),
  );
  const resolvers = [silent, alive].map((socket) => `127.0.0.1:${socket?.address().port}`);
  try {
    const forwarder = new DnsForwarder();
    const message = encode({ type: 'query', id: 9, questions: [{ type: 'A', name: 'x' }] });
    for (let round = 0; round < 3; round++) {
      expect(await forwarder.ask(message, 'udp', resolvers)).toEqual(message);
    }
    expect(asked).toEqual(['silent', 'alive', 'alive', 'alive']);
  } finally {
    silent?.close();
    alive?.close();
  }
});

describe('answers', () => {
  test('keep id and recursion bits, and say how long they last', () => {
    const reply = ask('Web');
    expect(reply).toMatchObject({
      id: 7,
      type: 'response',
      flag_rd: true,
      flag_ra: true,
      rcode: 'NOERROR',
    });
    expect(reply).toMatchObject({ answers: [{ data: '10.0.1.2', ttl: 5, name: 'Web' }] });
  });

  test('come from the first network that knows the name', () => {
    expect(addresses(ask('web'))).toEqual(['10.0.1.2']);
    expect(addresses(ask('web.blue'))).toEqual(['172.19.0.2']);
    expect(addresses(ask('db'))).toEqual(['172.19.0.2']);
  });

  test('rotate', () => {
    expect(addresses(ask('tasks.web', { transport: 'tcp', rotation: 1 }))[0]).toBe('10.0.1.11');
    expect(addresses(ask('tasks.web', { transport: 'tcp', rotation: 60 }))[0]).toBe('10.0.1.10');
  });

  test('too long for UDP are cut off with the flag that asks for TCP, unless the client takes more', () => {
    expect(ask('tasks.web')).toMatchObject({ flag_tc: true, answers: [] });
    expect(addresses(ask('tasks.web', { edns: 4096 }))).toHaveLength(60);
    expect(addresses(ask('tasks.web', { transport: 'tcp' }))).toHaveLength(60);
  });

  test('of other types are empty for names that exist', () => {
    expect(ask('web', { type: 'AAAA' })).toMatchObject({ rcode: 'NOERROR', answers: [] });
  });

  test('name an address back', () => {
    expect(addresses(ask('2.1.0.10.in-addr.arpa', { type: 'PTR' }))).toEqual(['web.app']);
    expect(ask('9.9.9.9.in-addr.arpa', { type: 'PTR' })).toBe('forward');
  });
});

test('other names are forwarded, refusals carry the code', () => {
  expect(ask('example.org')).toBe('forward');
  const query = encode({ type: 'query', id: 9, questions: [{ type: 'A', name: 'example.org' }] });
  const [missing, failed] = (['no-such-name', 'server-failure'] as const).map((reason) =>
    decode(refuseQuery(query, reason) ?? Buffer.alloc(12)),
  );
  expect([missing, failed]).toMatchObject([
    { id: 9, rcode: 'NXDOMAIN' },
    { id: 9, rcode: 'SERVFAIL' },
  ]);
});

test('junk is ignored', () => {
  for (const junk of [Buffer.alloc(0), Buffer.alloc(5, 255), Buffer.alloc(40, 255)]) {
    expect(answerQuery(junk, 'udp', { directories, rotation: 0 }).kind).toBe('ignore');
    expect(refuseQuery(junk, 'server-failure')).toBeUndefined();
  }
});

test('TCP frames are put together from any pieces', () => {
  const stream = Buffer.concat([frame(Buffer.from('one')), frame(Buffer.from('two!'))]);
  const cut = unframe(stream.subarray(0, 7));
  expect(cut.messages.map(String)).toEqual(['one']);
  expect(unframe(Buffer.concat([cut.rest, stream.subarray(7)])).messages.map(String)).toEqual([
    'two!',
  ]);
});

test('resolv.conf points at us and keeps what was asked for', () => {
  expect(
    renderResolvConf({ search: ['a.example', 'b.example'], options: ['ndots:2', 'edns0'] }),
  ).toBe('nameserver 127.0.0.11\nsearch a.example b.example\noptions ndots:2 edns0\n');
  expect(renderResolvConf({ search: ['.'], options: [] })).toBe(
    'nameserver 127.0.0.11\noptions ndots:0\n',
  );
});

test('hosts lists extra hosts and the own name', () => {
  const text = renderHosts({
    hostname: 'box',
    addresses: ['10.0.1.5'],
    extraHosts: ['db:192.0.2.7', 'host:host-gateway', 'broken'],
    hostGateway: '172.18.0.1',
  });
  expect(text.split('\n').slice(6, 9)).toEqual([
    '192.0.2.7\tdb',
    '172.18.0.1\thost',
    '10.0.1.5\tbox',
  ]);
});
