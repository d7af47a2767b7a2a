import { setTimeout as pause } from 'node:timers/promises';
import type { Namespace, Ping } from './kernel/kernel.ts';

/** Nobody need serve there: to be refused is an answer too. */
const PORT = 9;
/** Enough for the handshake's first repetition, after a second (RFC 6298 section 2). */
const ANSWER_WITHIN_MS = 2500;
const LOOK_EVERY_MS = 10;

/**
 * `kept`: checksums that are left to the network card arrive good. `lost`: they do not, and without leaving them to it
 * they do. `unclear`: TCP is not answered either way, for instance by a firewall. Undefined: nobody is there.
 */
export type ChecksumVerdict = 'kept' | 'lost' | 'unclear' | undefined;

/**
 * Whether TCP arrives at an address behind the tunnel. Some network cards and hypervisors spoil the checksums of packets
 * within VXLAN that they are told to complete: pings go through, whose checksums are never left to anybody, and TCP
 * hangs. When it does, the offload is turned off and TCP tried again; it stays off if that was it.
 */
export async function testChecksums(
  namespace: Pick<Namespace, 'ping' | 'connectTo'>,
  address: string,
  setOffload: (on: boolean) => void,
  signal: AbortSignal,
): Promise<ChecksumVerdict> {
  const isAnswered = (send: () => Ping): Promise<boolean> => isQuestionAnswered(send, signal);
  const connect = (): Ping => namespace.connectTo(address, PORT);
  if (!(await isAnswered(() => namespace.ping(address)))) return undefined;
  if (await isAnswered(connect)) return 'kept';
  // It may have gone away meanwhile.
  if (!(await isAnswered(() => namespace.ping(address)))) return undefined;
  setOffload(false);
  let lost = false;
  try {
    lost = await isAnswered(connect);
  } finally {
    if (!lost) setOffload(true);
  }
  return lost ? 'lost' : 'unclear';
}

async function isQuestionAnswered(send: () => Ping, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted();
  using question = send();
  const deadline = performance.now() + ANSWER_WITHIN_MS;
  while (question.answer() === 'waiting' && performance.now() < deadline) {
    await pause(LOOK_EVERY_MS, undefined, { ref: false, signal });
  }
  return question.answer() === 'answered';
}
