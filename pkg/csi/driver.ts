import { existsSync } from 'node:fs';
import type { DescMessage, DescMethod, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import { ClusterError } from '../model/index.ts';
import { unaryCall } from '../rpc/index.ts';

const OPTIONS = {
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.min_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
};
/** Storage may be slow; what takes longer is asked for again. */
const DEADLINE_MS = 120_000;

/** After these nothing was done; after any other failure it may have been (CSI, "Error Scheme"). */
const NOTHING_DONE: ReadonlySet<status> = new Set([
  status.INVALID_ARGUMENT,
  status.NOT_FOUND,
  status.ALREADY_EXISTS,
  status.PERMISSION_DENIED,
  status.UNAUTHENTICATED,
  status.OUT_OF_RANGE,
  status.UNIMPLEMENTED,
]);

/** What a driver answered instead of doing it. */
export class DriverError extends ClusterError {
  readonly nothingDone: boolean;

  constructor(driver: string, method: string, { code, details, message }: ServiceError) {
    const name = status[code] ?? String(code);
    super('system', `CSI driver ${driver}: ${method}: ${details || message} (${name})`);
    this.nothingDone = NOTHING_DONE.has(code);
  }
}

/** A connection to one storage driver of this host, through its socket. */
export class Driver {
  readonly name: string;
  readonly #path: string;
  #client: Client | undefined;

  constructor(name: string, path: string) {
    this.name = name;
    this.#path = path;
  }

  /**
   * One call. Throws `DriverError` as the driver answers, and `unavailable` when it has no socket here.
   */
  async call<I extends DescMessage, O extends DescMessage>(
    method: DescMethod & { readonly input: I; readonly output: O },
    request: MessageInitShape<I>,
    options: { readonly deadlineMs?: number | undefined } = {},
  ): Promise<MessageShape<O>> {
    if (!existsSync(this.#path)) {
      const text = `CSI driver ${this.name} is not on this host: there is no socket ${this.#path}`;
      throw new ClusterError('unavailable', text);
    }
    this.#client ??= new Client(`unix:${this.#path}`, credentials.createInsecure(), OPTIONS);
    return await unaryCall(this.#client, {
      method,
      request,
      deadlineMs: options.deadlineMs ?? DEADLINE_MS,
      failure: (error) => new DriverError(this.name, method.name, error as ServiceError),
    });
  }

  close(): void {
    this.#client?.close();
    this.#client = undefined;
  }
}
