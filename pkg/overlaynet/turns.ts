let last: Promise<void> = Promise.resolve();

/**
 * Resolves when the caller has a turn of the event loop of its own, in order of the calls. Work on the kernel is
 * synchronous and waits for a lock that all network namespaces of the machine share: containers that were wired one
 * after the other in the same turn kept heartbeats, requests and tables waiting for many seconds.
 */
export function ownTurn(): Promise<void> {
  last = last.then(() => new Promise((resolve) => setImmediate(resolve)));
  return last;
}
