import { createServer, type SecureContextOptions, type Server, type TLSSocket } from 'node:tls';
import type { Credentials, Identity } from './credentials.ts';

export interface TlsListenerOptions {
  readonly credentials: Credentials;
  /** What clients may ask for (ALPN). A connection that asks for nothing of it is closed. */
  readonly protocols: readonly string[];
  /** The certificate of the other side is verified if `socket.authorized`; it may also have none. */
  readonly onConnection: (protocol: string, socket: TLSSocket) => void;
}

const HANDSHAKE_TIMEOUT_MS = 10_000;
/** All agents come at once when the leader changed; whom the kernel turns away tries again after one second, then three. */
const WAITING_MAX = 4096;

/**
 * One port, several protocols, each over TLS with a client certificate that is asked for but not required (a joiner has
 * none): who takes a connection checks its other side.
 */
export class TlsListener {
  readonly #options: TlsListenerOptions;
  readonly #server: Server;
  readonly #sockets = new Set<TLSSocket>();
  readonly #unfollow: () => void;

  constructor(options: TlsListenerOptions) {
    const { credentials, protocols } = options;
    this.#options = options;
    this.#server = createServer({
      ...contextOf(credentials.identity),
      ALPNProtocols: [...protocols],
      requestCert: true,
      rejectUnauthorized: false,
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      noDelay: true,
    });
    // An accept that fails (too many open files) costs one caller his connection, not us the process.
    this.#server.on('error', () => undefined);
    this.#server.on('secureConnection', (socket) => this.#take(socket));
    // New connections see a renewed certificate; open ones live on.
    this.#unfollow = credentials.onReplace((identity) =>
      this.#server.setSecureContext(contextOf(identity)),
    );
  }

  /** Port 0 picks one. Returns the port. */
  async listen(host: string, port: number): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ port, host, backlog: WAITING_MAX }, () => {
        this.#server.off('error', reject);
        resolve();
      });
    });
    const address = this.#server.address();
    return typeof address === 'object' && address ? address.port : port;
  }

  /** Ends every connection at once. */
  close(): void {
    this.#unfollow();
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #take(socket: TLSSocket): void {
    // Whoever reads it sees it closed; an 'error' without a listener would end the process.
    socket.on('error', () => undefined);
    const { alpnProtocol } = socket;
    if (typeof alpnProtocol !== 'string') {
      socket.destroy();
      return;
    }
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    this.#options.onConnection(alpnProtocol, socket);
  }
}

function contextOf({ rootPem, certificatePem, keyPem }: Identity): SecureContextOptions {
  return { ca: rootPem, cert: certificatePem, key: keyPem };
}
