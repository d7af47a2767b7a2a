import { createSocket, type Socket } from 'node:dgram';
import { networkInterfaces } from 'node:os';
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
const HTTP = {
  name: 'http',
  protocol: 'tcp',
  targetPort: 8080,
  publishedPort: 80,
  publishMode: 'ingress',
} as const;
const directories = [
  directoryOfTable(
    networkTable({
      endpoints: [
        ...many,
        { address: '10.0.1.100', node: 1, service: 'api', weight: 3 },
        { address: '10.0.1.101', node: 2, service: 'api' },
        { address: '10.0.1.102', node: 2, service: 'api', out: true },
      ],
      services: [
        { name: 'web', vip: '10.0.1.2', ports: [HTTP] },
        { name: 'api', vip: '10.0.1.3', aliases: ['Backend'], ports: [HTTP] },
      ],
    }),
  ),
  directoryOfContainers('blue', [
    { name: 'box', aliases: ['web', 'db'], addresses: ['172.19.0.2'] },
  ]),
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

describe('SRV records', () => {
  const servers = ['api.61', 'api.62'];
  const records = (name: string, transport: 'udp' | 'tcp' = 'udp'): unknown => {
    const reply = ask(name, { type: 'SRV', transport });
    if (typeof reply === 'string') return reply;
    return (reply.answers ?? []).map((answer) => 'data' in answer && answer.data);
  };

  test('tell tasks in service with port and weight, by name or number of a port', () => {
    const expected = servers.map((name, at) => ({
      priority: 0,
      weight: at === 0 ? 3 : 1,
      port: 8080,
      target: `${name}.app`,
    }));
    for (const name of ['_http._tcp.api', '_8080._TCP.api', '_http._tcp.backend.app']) {
      expect(records(name)).toEqual(expected);
    }
  });

  test('bring the addresses of their targets, which are names that we answer', () => {
    const reply = ask('_http._tcp.api', { type: 'SRV', edns: 1232 });
    expect(reply).toMatchObject({
      additionals: [
        { type: 'A', name: 'api.61.app', data: '10.0.1.100' },
        { type: 'A', name: 'api.62.app', data: '10.0.1.101' },
        { type: 'OPT' },
      ],
    });
    expect(addresses(ask('api.61.app'))).toEqual(['10.0.1.100']);
  });

  test('are empty for a port that the service does not have, and not ours for a service that we do not know', () => {
    expect(ask('_http._udp.api', { type: 'SRV' })).toMatchObject({ rcode: 'NOERROR', answers: [] });
    expect(ask('_http._tcp.api')).toMatchObject({ rcode: 'NOERROR', answers: [] });
    expect(records('_http._tcp.example.org')).toBe('forward');
  });

  test('too many for UDP come by TCP', () => {
    expect(ask('_http._tcp.web', { type: 'SRV' })).toMatchObject({ flag_tc: true, answers: [] });
    expect(records('_http._tcp.web', 'tcp')).toHaveLength(60);
  });
});

test('a resolver that fails is passed over while another answers, and believed when none does', async () => {
  const answering = async (rcode: number): Promise<Socket> => {
    const socket = createSocket('udp4');
    socket.on('message', (message, { port }) => {
      const reply = Buffer.from(message);
      reply.writeUInt8(rcode, 3);
      socket.send(reply, port, '127.0.0.1');
    });
    await new Promise<void>((resolve) => {
      socket.bind(0, '127.0.0.1', resolve);
    });
    return socket;
  };
  const [failing, refusing, knowing] = [await answering(2), await answering(5), await answering(3)];
  const at = (socket: Socket): string => `127.0.0.1:${socket.address().port}`;
  try {
    const forwarder = new DnsForwarder();
    const message = encode({ type: 'query', id: 9, questions: [{ type: 'A', name: 'x' }] });
    const rcode = async (...sockets: readonly Socket[]): Promise<unknown> =>
      (await forwarder.ask(message, 'udp', sockets.map(at)))?.[3];
    expect(await rcode(failing, refusing, knowing)).toBe(3);
    expect(await rcode(refusing, failing)).toBe(5);
  } finally {
    for (const socket of [failing, refusing, knowing]) socket.close();
  }
});

const hasIpv6 = Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ address }) => address === '::1'),
);

test.skipIf(!hasIpv6)('resolvers are asked over IPv6 too', async () => {
  const socket = createSocket('udp6');
  try {
    socket.on('message', (message, { port, address }) => socket.send(message, port, address));
    await new Promise<void>((resolve) => {
      socket.bind(0, '::1', resolve);
    });
    const resolvers = [`[::1]:${socket.address().port}`];
    const message = encode({ type: 'query', id: 9, questions: [{ type: 'A', name: 'x.test' }] });
    expect(await new DnsForwarder().ask(message, 'udp', resolvers)).toEqual(message);
  } finally {
    socket.close();
  }
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
