import type { Namespace } from './kernel/kernel.ts';

const PROTOCOL_UDP = 17;

export interface ForgetTarget {
  readonly namespace: Namespace;
  /** False once the namespace was closed. */
  readonly isLive: () => boolean;
}

/**
 * Lets UDP flows to these addresses choose again: TCP drains, but a flow would stick to its old backend for as long as
 * it talks. Reading the tracked connections takes some 10 ms per namespace, so each has a turn of the event loop.
 */
export function forgetDatagrams(
  targets: readonly ForgetTarget[],
  addresses: ReadonlySet<string>,
): void {
  const [target, ...others] = targets;
  if (target === undefined) return;
  setImmediate(() => {
    if (target.isLive()) {
      target.namespace.forgetConnections(
        ({ protocol, replySource }) => protocol === PROTOCOL_UDP && addresses.has(replySource),
      );
    }
    forgetDatagrams(others, addresses);
  });
}
