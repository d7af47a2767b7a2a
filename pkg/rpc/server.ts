import type { PeerCertificate, TLSSocket } from 'node:tls';
import {
  create,
  type DescMessage,
  type DescMethod,
  type DescService,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
  type UntypedHandleCall,
} from '@grpc/grpc-js';
import type { Logger } from '../io/index.ts';
import { ClusterError, type NodeRole, splitHostPort } from '../model/index.ts';
import { methodDefinition } from './codec.ts';
import { type Credentials, type PeerIdentity, peerIdentity } from './credentials.ts';
import { type DuplexCall, type MessageStream, messageStream } from './message-stream.ts';
import { statusOf } from './status.ts';
import { TlsListener } from './tls-listener.ts';

/** Who is calling, from its verified certificate, and from which address. */
export interface Caller extends PeerIdentity {
  readonly address: string;
}

/** 'anyone': also without a certificate; only for joining. */
export type Allowed = 'anyone' | readonly NodeRole[];

type Call = ServerUnaryCall<unknown, unknown> | ServerDuplexStream<unknown, unknown>;

/** One method with who may call it. Made by `unary` and `streaming`. */
interface MethodBinding {
  readonly method: DescMethod;
  readonly allowed: Allowed;
  readonly handle: (check: (call: Call) => Caller | undefined) => UntypedHandleCall;
}

/** A service ready to be given to a server. */
export interface ServiceBinding {
  readonly service: DescService;
  readonly methods: readonly MethodBinding[];
}

/** A protocol of its own beside gRPC on the same port, chosen by ALPN. */
export interface ProtocolBinding {
  readonly protocol: string;
  readonly allowed: readonly NodeRole[];
  readonly accept: (socket: TLSSocket, caller: Caller) => void;
}

export function unary<I extends DescMessage, O extends DescMessage>(
  method: DescMethod & { readonly input: I; readonly output: O },
  allowed: readonly NodeRole[],
  handler: (request: MessageShape<I>, caller: Caller) => Promise<MessageInitShape<O>>,
): MethodBinding {
  return anyUnary(method, allowed, (request, caller) => handler(request, caller as Caller));
}

/** A method that needs no certificate; its handler learns nothing about the caller. */
export function openUnary<I extends DescMessage, O extends DescMessage>(
  method: DescMethod & { readonly input: I; readonly output: O },
  handler: (request: MessageShape<I>) => Promise<MessageInitShape<O>>,
): MethodBinding {
  return anyUnary(method, 'anyone', handler);
}

function anyUnary<I extends DescMessage, O extends DescMessage>(
  method: DescMethod & { readonly input: I; readonly output: O },
  allowed: Allowed,
  handler: (request: MessageShape<I>, caller: Caller | undefined) => Promise<MessageInitShape<O>>,
): MethodBinding {
  const answer = async (call: Call, caller: Caller | undefined): Promise<MessageShape<O>> => {
    const { request } = call as ServerUnaryCall<MessageShape<I>, MessageShape<O>>;
    return create(method.output, await handler(request, caller));
  };
  return {
    method,
    allowed,
    handle: (check) => (call: Call, callback: sendUnaryData<MessageShape<O>>) => {
      const run = async (): Promise<MessageShape<O>> => await answer(call, check(call));
      run().then(
        (value) => callback(null, value),
        (error: unknown) => callback(statusOf(error)),
      );
    },
  };
}

/** A method with a stream in either or both directions; it is over when `handler` returns. */
export function streaming<I extends DescMessage, O extends DescMessage>(
  method: DescMethod & { readonly input: I; readonly output: O },
  allowed: readonly NodeRole[],
  handler: (
    stream: MessageStream<MessageShape<O>, MessageShape<I>>,
    caller: Caller,
  ) => Promise<void>,
): MethodBinding {
  return {
    method,
    allowed,
    handle: (check) => (call: Call) => {
      const duplex = call as unknown as DuplexCall<MessageShape<O>, MessageShape<I>>;
      const run = async (): Promise<void> => {
        await handler(messageStream(duplex), check(call) as Caller);
      };
      run().then(
        () => duplex.end(),
        (error: unknown) => call.emit('error', statusOf(error)),
      );
    },
  };
}

export interface RpcServerOptions {
  readonly credentials: Credentials;
  readonly log: Logger;
  /** Says why a caller with a good certificate is refused all the same (it was removed from the cluster). */
  readonly refuse?: ((caller: Caller) => string | undefined) | undefined;
}

const MESSAGE_BYTES_MAX = 32 * 1024 * 1024;
const GRPC_PROTOCOL = 'h2';

/** One port for everything between nodes. A method that no service declares does not exist; the rest check the role. */
export class RpcServer {
  readonly #options: RpcServerOptions;
  readonly #protocols = new Map<string, ProtocolBinding>();
  #listener: TlsListener | undefined;
  readonly #server = new Server({
    'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
    'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
    'grpc.keepalive_time_ms': 10_000,
    'grpc.keepalive_timeout_ms': 5_000,
  });

  constructor(options: RpcServerOptions) {
    this.#options = options;
  }

  /** Throws when a method of the service has no binding. */
  add(binding: ServiceBinding): void {
    const methods = new Map(binding.methods.map((bound) => [bound.method.name, bound]));
    const missing = binding.service.methods.filter((method) => !methods.has(method.name));
    if (missing.length > 0) {
      const names = missing.map((method) => method.name).join(', ');
      throw new ClusterError('system', `${binding.service.typeName} lacks handlers for ${names}`);
    }
    for (const { method, allowed, handle } of binding.methods) {
      const definition = methodDefinition(method);
      const check = (call: Call): Caller | undefined => this.#check(call, definition.path, allowed);
      this.#server.register(
        definition.path,
        handle(check) as never,
        definition.responseSerialize,
        definition.requestDeserialize,
        method.methodKind === 'unary' ? 'unary' : 'bidi',
      );
    }
  }

  /** To be called before `listen`. */
  addProtocol(binding: ProtocolBinding): void {
    this.#protocols.set(binding.protocol, binding);
  }

  /** `address`: host:port, port 0 picks one. Returns the port. */
  async listen(address: string): Promise<number> {
    const { host, port } = splitHostPort(address);
    // The listener has done TLS; grpc-js takes over from there, and finds the certificate on the socket.
    const grpc = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
    const listener = new TlsListener({
      credentials: this.#options.credentials,
      protocols: [...this.#protocols.keys(), GRPC_PROTOCOL],
      onConnection: (protocol, socket): void => {
        const binding = this.#protocols.get(protocol);
        if (binding) this.#accept(binding, socket);
        else grpc.injectConnection(socket);
      },
    });
    this.#listener = listener;
    return await listener.listen(host, port);
  }

  /** Ends every call and connection at once. */
  close(): void {
    this.#server.forceShutdown();
    this.#listener?.close();
  }

  #accept({ protocol, allowed, accept }: ProtocolBinding, socket: TLSSocket): void {
    const peer = socket.authorized ? socket.getPeerCertificate() : undefined;
    try {
      accept(socket, this.#admit(peer, plainHost(socket.remoteAddress ?? ''), protocol, allowed));
    } catch {
      // Why is in the log; there is no way to say it.
      socket.destroy();
    }
  }

  #check(call: Call, path: string, allowed: Allowed): Caller | undefined {
    if (allowed === 'anyone') return undefined;
    const { sslPeerCertificate } = call.getAuthContext();
    return this.#admit(sslPeerCertificate, hostOf(call.getPeer()), path, allowed);
  }

  #admit(
    certificate: PeerCertificate | undefined,
    address: string,
    path: string,
    allowed: readonly NodeRole[],
  ): Caller {
    const peer = peerIdentity(certificate);
    const clusterId = this.#options.credentials.identity.clusterId;
    if (!peer || peer.clusterId !== clusterId) {
      throw new ClusterError(
        'unauthorized',
        `${path} needs a certificate of cluster ${clusterId}: join the cluster first`,
      );
    }
    const caller = { ...peer, address };
    const reason = allowed.includes(peer.role)
      ? this.#options.refuse?.(caller)
      : `${path} is not for a ${peer.role}`;
    if (reason === undefined) return caller;
    this.#options.log.warn('call refused', { path, node: peer.nodeId, reason });
    throw new ClusterError('forbidden', reason);
  }
}

/** `1.2.3.4:5678`, `[::1]:5678`, or what grpc-js makes of the latter, `::1:5678`, without the port. */
function hostOf(peer: string): string {
  const host = peer.slice(0, Math.max(0, peer.lastIndexOf(':')));
  return plainHost(host.replace(/^\[(.*)\]$/, '$1'));
}

/** An IPv4 caller of a socket that takes both families. */
function plainHost(host: string): string {
  return host.replace(/^::ffff:/, '');
}
