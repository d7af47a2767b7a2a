import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';

/** Clients give up after 5 s (resolv.conf(5) `timeout`), so two resolvers must fit into it. */
const RESOLVER_TIMEOUT_MS = 2000;
const FORWARDED_MAX = 1024;
const DNS_PORT = 53;
const DNS_ID_LENGTH = 2;
/** The lower half of the fourth byte. */
const RCODE_AT = 3;
const FAILURES: ReadonlySet<number> = new Set([2, 4, 5]);

/** How long a resolver that did not answer is asked last. */
const SILENT_MS = 30_000;

/**
 * Asks the resolvers, one after the other, from the namespace of this process. One that was silent is asked last for a
 * while: each question would wait for it.
 */
export class DnsForwarder {
  readonly #silentUntil = new Map<string, number>();
  #running = 0;

  /** The resolver's reply as it came; undefined when none answered. One that failed itself is believed when no other does better. */
  async ask(
    message: Buffer,
    transport: 'udp' | 'tcp',
    resolvers: readonly string[],
  ): Promise<Buffer | undefined> {
    if (this.#running >= FORWARDED_MAX) return undefined;
    this.#running++;
    let failure: Buffer | undefined;
    try {
      for (const resolver of this.#inOrder(resolvers)) {
        const reply = await (transport === 'udp' ? askUdp : askTcp)(message, resolver);
        if (reply !== undefined) {
          this.#silentUntil.delete(resolver);
          if (!isFailure(reply)) return reply;
          failure ??= reply;
        } else this.#silentUntil.set(resolver, performance.now() + SILENT_MS);
      }
      return failure;
    } finally {
      this.#running--;
    }
  }

  #inOrder(resolvers: readonly string[]): readonly string[] {
    const now = performance.now();
    const isSilent = (resolver: string): boolean => (this.#silentUntil.get(resolver) ?? 0) > now;
    return [...resolvers.filter((one) => !isSilent(one)), ...resolvers.filter(isSilent)];
  }
}

/** SERVFAIL, NOTIMP and REFUSED say nothing of the name (RFC 1035 section 4.1.1). */
function isFailure(reply: Buffer): boolean {
  return FAILURES.has((reply[RCODE_AT] ?? 0) & 0xf);
}

/** `192.0.2.1`, `192.0.2.1:5353`, `fd00::1`, `fe80::1%eth0`, `[fd00::1]:5353`. */
function split(resolver: string): { readonly address: string; readonly port: number } {
  if (isIPv6(resolver)) return { address: resolver, port: DNS_PORT };
  const [, bracketed, plain = '', port] = /^(?:\[(.*)\]|([^:]*))(?::(\d+))?$/.exec(resolver) ?? [];
  return { address: bracketed ?? plain, port: port === undefined ? DNS_PORT : Number(port) };
}

/** A socket per question: its random port is what makes forged answers hard (RFC 5452 section 9.2). */
function askUdp(message: Buffer, resolver: string): Promise<Buffer | undefined> {
  const { address, port } = split(resolver);
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    let finished = false;
    const timer = setTimeout(() => finish(undefined), RESOLVER_TIMEOUT_MS);
    const finish = (reply: Buffer | undefined): void => {
      if (finished) return;
      finished = true;
      clearTimeout(timer);
      socket.close();
      resolve(reply);
    };
    socket.on('error', () => finish(undefined));
    socket.on('message', (reply) => {
      if (reply.subarray(0, DNS_ID_LENGTH).equals(message.subarray(0, DNS_ID_LENGTH)))
        finish(reply);
    });
    // Connected: other senders are ignored and a closed port is reported.
    // A host without a route there learns it in the callback, not by an event.
    const connected = (error?: Error): void => {
      if (error === undefined) socket.send(message, () => undefined);
      else finish(undefined);
    };
    socket.connect(port, address, connected);
  });
}

function askTcp(message: Buffer, resolver: string): Promise<Buffer | undefined> {
  const { address, port } = split(resolver);
  return new Promise((resolve) => {
    let received = Buffer.alloc(0);
    const connection = connect(port, address);
    const finish = (reply: Buffer | undefined): void => {
      connection.destroy();
      resolve(reply);
    };
    connection.setTimeout(RESOLVER_TIMEOUT_MS, () => finish(undefined));
    connection.on('error', () => finish(undefined));
    connection.on('close', () => resolve(undefined));
    connection.on('connect', () => connection.write(frame(message)));
    connection.on('data', (data) => {
      received = Buffer.concat([received, data]);
      const [first] = unframe(received).messages;
      if (first !== undefined) finish(first);
    });
  });
}

/** DNS over TCP puts a two-byte length before each message (RFC 1035 section 4.2.2). */
export function frame(message: Buffer): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}

export function unframe(received: Buffer): {
  readonly messages: readonly Buffer[];
  readonly rest: Buffer;
} {
  const messages: Buffer[] = [];
  let rest = received;
  while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
    const end = 2 + rest.readUInt16BE(0);
    messages.push(rest.subarray(2, end));
    rest = rest.subarray(end);
  }
  return { messages, rest };
}
