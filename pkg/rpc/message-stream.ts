import type { EventEmitter } from 'node:events';
import { errorOf } from './status.ts';

/** One side of an open stream. Iterating ends when the other side is done and throws `ClusterError` when it failed. */
export interface MessageStream<Out, In> extends AsyncIterable<In> {
  /** Never blocks. False: the transport is behind; await `drained` before sending much more. */
  send(message: Out): boolean;
  /** Resolves when more can be sent, or the stream is over. */
  drained(): Promise<void>;
  /** Nothing more will be sent; the other side may go on. */
  end(): void;
  /** Gives the stream up in both directions. */
  cancel(): void;
}

/** What grpc-js' client and server duplex streams have together. */
export interface DuplexCall<Out, In> extends EventEmitter {
  readonly writable: boolean;
  readonly destroyed: boolean;
  write(message: Out): boolean;
  end(): void;
  destroy(): void;
  cancel?: () => void;
  iterator(options: { readonly destroyOnReturn: boolean }): AsyncIterable<In>;
}

export function messageStream<Out, In>(call: DuplexCall<Out, In>): MessageStream<Out, In> {
  // An 'error' without a listener ends the process; who iterates sees the error anyway.
  call.on('error', () => undefined);
  return {
    send: (message) => call.writable && call.write(message),
    drained: () =>
      new Promise((resolve) => {
        if (!call.writable || call.destroyed) {
          resolve();
          return;
        }
        const done = (): void => {
          for (const event of ['drain', 'close', 'error', 'cancelled']) call.off(event, done);
          resolve();
        };
        for (const event of ['drain', 'close', 'error', 'cancelled']) call.on(event, done);
      }),
    end: () => call.end(),
    cancel: () => (call.cancel ? call.cancel() : call.destroy()),
    async *[Symbol.asyncIterator](): AsyncGenerator<In> {
      try {
        // Plain iteration would destroy the writing half as soon as the reading half ends.
        yield* call.iterator({ destroyOnReturn: false });
      } catch (error) {
        throw errorOf(error);
      }
    },
  };
}
