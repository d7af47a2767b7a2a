import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import type { RuleExpression } from 'vxlan-netlink';
import type { Directory } from './directory.ts';
import { answerQuery, refuseQuery } from './dns-answer.ts';
import { type DnsForwarder, frame, unframe } from './dns-forward.ts';
import {
  matchDestination,
  matchPort,
  matchProtocol,
  matchSource,
  matchTransport,
  TCP_FLAGS_OFFSET,
  translateTo,
} from './expression.ts';
import type { Namespace } from './kernel/kernel.ts';
import { TABLE_PREFIX } from './name.ts';
import type { Ruleset } from './ruleset.ts';

/** Where containers find their resolver, as in Docker. */
export const DNS_ADDRESS = '127.0.0.11';
const DNS_PORT = 53;
/** Before virtual IPs, so that no service can take the resolver's place. */
const PRIORITY_DNAT = -110;
const PRIORITY_FILTER = 0;
const ICMP_UNREACHABLE = 3;
const TCP_SEQUENCE_OFFSET = 4;
const TCP_RESET_AND_ACK = 0x14;
const IDLE_TIMEOUT_MS = 10_000;

export interface DnsSources {
  readonly directories: () => readonly Directory[];
  /** Resolvers for foreign names; empty: nobody is asked. */
  readonly resolvers: () => readonly string[];
}

/** The resolver of one container: two sockets in its namespace on high ports, so that port 53 stays the container's. */
export class ContainerDns {
  readonly #sources: DnsSources;
  readonly #forwarder: DnsForwarder;
  readonly #connections = new Set<Socket>();
  #datagrams: DatagramSocket | undefined;
  #server: Server | undefined;
  #rotation = 0;

  private constructor(sources: DnsSources, forwarder: DnsForwarder) {
    this.#sources = sources;
    this.#forwarder = forwarder;
  }

  /** Opens the sockets and returns once both serve; `lo` must be up. The rules that lead there are the caller's. */
  static async open(
    namespace: Namespace,
    sources: DnsSources,
    forwarder: DnsForwarder,
  ): Promise<{ readonly dns: ContainerDns; readonly ruleset: Ruleset }> {
    const dns = new ContainerDns(sources, forwarder);
    const udp = namespace.openSocket('udp', DNS_ADDRESS, 0);
    const tcp = namespace.openSocket('tcp', DNS_ADDRESS, 0);
    await Promise.all([dns.#serveDatagrams(udp.fd), dns.#serveConnections(tcp.fd)]);
    return { dns, ruleset: dnsRuleset(udp.port, tcp.port) };
  }

  async close(): Promise<void> {
    for (const connection of this.#connections) connection.destroy();
    this.#datagrams?.close();
    await new Promise<void>((resolve) => {
      if (this.#server === undefined) resolve();
      else this.#server.close(() => resolve());
    });
  }

  async #serveDatagrams(fd: number): Promise<void> {
    const socket = createSocket('udp4');
    this.#datagrams = socket;
    // An unreachable client is its own problem.
    socket.on('error', () => undefined);
    socket.on('message', (message, sender) => {
      void this.#answer(message, 'udp').then((reply) => {
        if (reply !== undefined && this.#datagrams === socket) {
          socket.send(reply, sender.port, sender.address, () => undefined);
        }
      });
    });
    socket.on('close', () => {
      this.#datagrams = undefined;
    });
    await new Promise<void>((resolve) => {
      socket.bind({ fd }, resolve);
    });
    socket.unref();
  }

  async #serveConnections(fd: number): Promise<void> {
    const server = createServer((connection) => this.#serveConnection(connection));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.on('error', reject);
      server.listen({ fd }, resolve);
    });
    server.unref();
  }

  #serveConnection(connection: Socket): void {
    this.#connections.add(connection);
    let received = Buffer.alloc(0);
    connection.setTimeout(IDLE_TIMEOUT_MS, () => connection.destroy());
    connection.on('error', () => connection.destroy());
    connection.on('close', () => this.#connections.delete(connection));
    connection.on('data', (data) => {
      const { messages, rest } = unframe(Buffer.concat([received, data]));
      received = Buffer.from(rest);
      for (const message of messages) {
        void this.#answer(message, 'tcp').then((reply) => {
          if (reply !== undefined && connection.writable) connection.write(frame(reply));
        });
      }
    });
  }

  /** Never rejects: whatever a container asks must not end the agent. */
  async #answer(message: Buffer, transport: 'udp' | 'tcp'): Promise<Buffer | undefined> {
    try {
      return await this.#resolve(message, transport);
    } catch {
      // Names that cannot be encoded, for instance; the client is told that we could not.
      return refuseQuery(message, 'server-failure');
    }
  }

  async #resolve(message: Buffer, transport: 'udp' | 'tcp'): Promise<Buffer | undefined> {
    const directories = this.#sources.directories();
    const decision = answerQuery(message, transport, { directories, rotation: this.#rotation++ });
    if (decision.kind === 'ignore') return undefined;
    if (decision.kind === 'answer') return decision.packet;
    const resolvers = this.#sources.resolvers();
    if (resolvers.length === 0) return refuseQuery(message, 'no-such-name');
    const reply = await this.#forwarder.ask(message, transport, resolvers);
    return reply ?? refuseQuery(message, 'server-failure');
  }
}

function dnsRuleset(udpPort: number, tcpPort: number): Ruleset {
  const lead = (
    protocol: 'udp' | 'tcp',
    port: number,
  ): Ruleset['chains'][number]['rules'][number] => [
    ...matchDestination(DNS_ADDRESS),
    ...matchProtocol(protocol),
    ...matchPort(DNS_PORT),
    ...translateTo(DNS_ADDRESS, port),
  ];
  return {
    table: `${TABLE_PREFIX}dns`,
    sets: [],
    chains: [
      { name: 'own', rules: [DROP_UNREACHABLE, DROP_REFUSAL] },
      {
        name: 'output',
        hook: { type: 'nat', hook: 'output', priority: PRIORITY_DNAT },
        rules: [lead('udp', udpPort), lead('tcp', tcpPort)],
      },
      {
        name: 'away',
        hook: { type: 'filter', hook: 'output', priority: PRIORITY_FILTER },
        rules: [[...matchSource(`${DNS_ADDRESS}/32`), JUMP_TO_OWN]],
      },
    ],
  };
}

/*
 * While the agent restarts nobody listens, and the kernel would say so: the client would fail at once. Hearing nothing it
 * asks again, and by then somebody does.
 */
const DROP: RuleExpression = { kind: 'verdict', verdict: { verdict: 'drop' } };
/** Every packet of the container passes here: what is not ours leaves after one comparison. */
const JUMP_TO_OWN: RuleExpression = { kind: 'verdict', verdict: { verdict: 'jump', chain: 'own' } };
/** `icmp type destination-unreachable drop` */
const DROP_UNREACHABLE: readonly RuleExpression[] = [
  ...matchProtocol('icmp'),
  ...matchTransport(0, Buffer.from([ICMP_UNREACHABLE])),
  DROP,
];
/** The same for a TCP handshake, whose refusal alone has the sequence number 0 (RFC 9293 section 3.10.7.1). */
const DROP_REFUSAL: readonly RuleExpression[] = [
  ...matchProtocol('tcp'),
  ...matchTransport(TCP_SEQUENCE_OFFSET, Buffer.alloc(4)),
  ...matchTransport(TCP_FLAGS_OFFSET, Buffer.from([TCP_RESET_AND_ACK])),
  DROP,
];

/** Text of `/etc/resolv.conf` for a container that uses us. */
export function renderResolvConf(options: {
  readonly search: readonly string[];
  readonly options: readonly string[];
}): string {
  const settings = options.options.some((option) => option.startsWith('ndots:'))
    ? options.options
    : [...options.options, 'ndots:0'];
  const search = options.search.filter((domain) => domain !== '.');
  const lines = [`nameserver ${DNS_ADDRESS}`];
  if (search.length > 0) lines.push(`search ${search.join(' ')}`);
  lines.push(`options ${settings.join(' ')}`);
  return `${lines.join('\n')}\n`;
}

/** Text of `/etc/hosts`. `extraHosts` are `name:address`; `host-gateway` means the container's default gateway. */
export function renderHosts(options: {
  readonly hostname: string;
  readonly addresses: readonly string[];
  readonly extraHosts: readonly string[];
  readonly hostGateway: string;
}): string {
  const lines = [
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::\tip6-localnet',
    'ff00::\tip6-mcastprefix',
    'ff02::1\tip6-allnodes',
    'ff02::2\tip6-allrouters',
  ];
  for (const entry of options.extraHosts) {
    const [, name = '', target = ''] = /^([^:=]+)[:=](.*)$/.exec(entry) ?? [];
    const address = target === 'host-gateway' ? options.hostGateway : target;
    if (name !== '' && address !== '') lines.push(`${address}\t${name}`);
  }
  for (const address of options.addresses) lines.push(`${address}\t${options.hostname}`);
  return `${lines.join('\n')}\n`;
}
