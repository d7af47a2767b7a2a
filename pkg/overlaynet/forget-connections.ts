import type { Namespace } from './kernel/kernel.ts';

const PROTOCOL_UDP = 17;

export interface ForgetTarget {
  readonly namespace: Namespace;
  /** False once the namespace was closed. */
  readonly isLive: () => boolean;
}

/**
 * UDP flows to a backend that takes no new connections choose again: TCP drains, but a flow would stick for as long as
 * it talks. Whatever led to an address that nobody holds any more is forgotten, so that the next packet meets another
 * backend, which resets the connection, rather than silence. Reading the tracked connections takes some 10 ms per
 * namespace, so each has a turn of the event loop.
 */
export function forgetConnections(
  targets: readonly ForgetTarget[],
  addresses: { readonly removed: ReadonlySet<string>; readonly gone: ReadonlySet<string> },
  report: (error: unknown) => void,
): void {
  const [target, ...others] = targets;
  if (target === undefined) return;
  setImmediate(() => {
    try {
      forgetIn(target, addresses);
    } catch (error) {
      // The kernel keeps what it tracks for a while longer; the other namespaces still get their turn.
      report(error);
    }
    forgetConnections(others, addresses, report);
  });
}

function forgetIn(
  target: ForgetTarget,
  addresses: { readonly removed: ReadonlySet<string>; readonly gone: ReadonlySet<string> },
): void {
  if (!target.isLive()) return;
  target.namespace.forgetConnections(
    ({ protocol, replySource }) =>
      addresses.gone.has(replySource) ||
      (protocol === PROTOCOL_UDP && addresses.removed.has(replySource)),
  );
}
