import type { DescMessage, DescMethod, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { type ChannelCredentials, Client, connectivityState, Metadata } from '@grpc/grpc-js';
import { ClusterError } from '../model/index.ts';
import { methodDefinition } from './codec.ts';
import {
  type Credentials,
  clientCredentials,
  joinerCredentials,
  MANAGER_NAME,
  unverifiedCredentials,
} from './credentials.ts';
import { type DuplexCall, type MessageStream, messageStream } from './message-stream.ts';
import { errorOf } from './status.ts';
import { unaryCall } from './unary-call.ts';

const MESSAGE_BYTES_MAX = 32 * 1024 * 1024;
const DEADLINE_DEFAULT_MS = 10_000;
/** Long enough for a manager that is busy, short enough not to wait for TCP after a partition. */
const KEEPALIVE_TIMEOUT_MS = 3_000;
const OPTIONS = {
  'grpc.max_receive_message_length': MESSAGE_BYTES_MAX,
  'grpc.max_send_message_length': MESSAGE_BYTES_MAX,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.min_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_http_proxy': 0,
  'grpc.ssl_target_name_override': MANAGER_NAME,
  'grpc.service_config_disable_resolution': 1,
};

/** A connection to one manager; connects at the first call and again after a loss. */
export class RpcClient {
  readonly address: string;
  readonly #client: Client;

  /** `address`: host:port. The other side must prove to be a manager of our cluster. */
  static connect(address: string, credentials: Credentials): RpcClient {
    return new RpcClient(address, clientCredentials(credentials.identity));
  }

  /** Without a certificate of our own, to a manager certified by `rootPem`. */
  static connectAsJoiner(address: string, rootPem: string): RpcClient {
    return new RpcClient(address, joinerCredentials(rootPem));
  }

  /** To whoever answers. Believe nothing but what can be verified otherwise. */
  static connectUnverified(address: string): RpcClient {
    return new RpcClient(address, unverifiedCredentials());
  }

  private constructor(address: string, credentials: ChannelCredentials) {
    this.address = address;
    this.#client = new Client(address, credentials, OPTIONS);
  }

  /** Resolves once connected; throws `unavailable` as soon as an attempt fails, `deadline` when it is under way after `timeoutMs`. */
  async ready(timeoutMs: number): Promise<void> {
    const channel = this.#client.getChannel();
    const deadline = new Date(Date.now() + timeoutMs);
    for (;;) {
      const state = channel.getConnectivityState(true);
      if (state === connectivityState.READY) return;
      if (state === connectivityState.TRANSIENT_FAILURE || state === connectivityState.SHUTDOWN) {
        throw unreachableManager(this.address, 'connection refused or not trusted');
      }
      const inTime = await new Promise<boolean>((resolve) => {
        channel.watchConnectivityState(state, deadline, (error) => resolve(!error));
      });
      if (!inTime) {
        const reason = `no answer within ${timeoutMs} ms`;
        throw unreachableManager(this.address, reason, 'deadline');
      }
    }
  }

  /** Throws `ClusterError` with the kind that the handler threw; `deadline` after `deadlineMs` (default 10 s). */
  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { readonly input: I; readonly output: O },
    request: MessageInitShape<I>,
    options: { readonly deadlineMs?: number | undefined } = {},
  ): Promise<MessageShape<O>> {
    const deadlineMs = options.deadlineMs ?? DEADLINE_DEFAULT_MS;
    return await unaryCall(this.#client, { method, request, deadlineMs, failure: errorOf });
  }

  /** Opens a stream; failures show when it is iterated. */
  stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { readonly input: I; readonly output: O },
  ): MessageStream<MessageShape<I>, MessageShape<O>> {
    const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
    const call = this.#client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      new Metadata(),
    );
    return messageStream(call as unknown as DuplexCall<MessageShape<I>, MessageShape<O>>);
  }

  close(): void {
    this.#client.close();
  }
}

function unreachableManager(
  address: string,
  reason: string,
  kind: 'unavailable' | 'deadline' = 'unavailable',
): ClusterError {
  return new ClusterError(kind, `manager ${address} cannot be reached: ${reason}`);
}
