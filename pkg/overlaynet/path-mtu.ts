import { setTimeout as pause } from 'node:timers/promises';
import { isIpv6 } from 'vxlan-netlink';
import type { Namespace, Ping } from './kernel/kernel.ts';

/**
 * Every path is taken to let so much through: what every IPv4 host must accept (RFC 791 section 3.1), and every link of
 * IPv6 (RFC 8200 section 5).
 */
const PACKET_MIN = { ipv4: 576, ipv6: 1280 } as const;
const ANSWER_WITHIN_MS = 400;
const LOOK_EVERY_MS = 5;
/** A path is called narrow after so many lost packets, since one may be lost for other reasons. */
const TRIES = 3;
/** Of each size in between: a smaller result is not wrong, only not the best. */
const TRIES_BETWEEN = 2;
const SIZES_AT_ONCE = 16;

/**
 * The largest packet that comes to `address` and back in one piece, `linkMtu` at most; undefined when not even a small
 * one does: the host is down, or does not answer ICMP echo. A path with a router says that a packet is too large, one
 * with a switch of a smaller size just loses it; both are found by sizes that are answered.
 */
export async function probePathMtu(
  namespace: Pick<Namespace, 'ping'>,
  address: string,
  linkMtu: number,
  signal: AbortSignal,
): Promise<number | undefined> {
  const packetMin: number = isIpv6(address) ? PACKET_MIN.ipv6 : PACKET_MIN.ipv4;
  let reachable = false;
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const answered = await sizesAnswered(namespace, address, [packetMin, linkMtu], signal);
    if (answered.has(linkMtu)) return linkMtu;
    reachable ||= answered.has(packetMin);
  }
  if (!reachable) return undefined;
  let [least, most] = [packetMin, linkMtu];
  while (most - least > 1) {
    const sizes = sizesBetween(least, most);
    const answered = new Set<number>();
    for (let attempt = 0; attempt < TRIES_BETWEEN; attempt++) {
      const open = sizes.filter((size) => !answered.has(size));
      const found = await sizesAnswered(namespace, address, open, signal);
      for (const size of found) answered.add(size);
    }
    least = Math.max(least, ...answered);
    most = Math.min(most, ...sizes.filter((size) => size > least));
  }
  return least;
}

/** Neither end is among them. */
function sizesBetween(least: number, most: number): readonly number[] {
  const step = Math.max(1, (most - least) / (SIZES_AT_ONCE + 1));
  const sizes: number[] = [];
  for (let size = least + step; size < most; size += step) sizes.push(Math.floor(size));
  return sizes;
}

async function sizesAnswered(
  namespace: Pick<Namespace, 'ping'>,
  address: string,
  sizes: readonly number[],
  signal: AbortSignal,
): Promise<ReadonlySet<number>> {
  const pings = new Map<number, Ping>();
  try {
    signal.throwIfAborted();
    for (const size of sizes) pings.set(size, namespace.ping(address, size));
    const deadline = performance.now() + ANSWER_WITHIN_MS;
    for (;;) {
      const answers = [...pings].map(([size, ping]) => ({ size, answer: ping.answer() }));
      if (
        answers.every(({ answer }) => answer !== 'waiting') ||
        // Smaller ones came back by the same way meanwhile.
        answers.at(-1)?.answer === 'answered' ||
        performance.now() > deadline
      ) {
        return new Set(
          answers.filter(({ answer }) => answer === 'answered').map(({ size }) => size),
        );
      }
      await pause(LOOK_EVERY_MS, undefined, { ref: false, signal });
    }
  } finally {
    for (const ping of pings.values()) ping[Symbol.dispose]();
  }
}
