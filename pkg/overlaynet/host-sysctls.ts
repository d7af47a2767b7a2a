import type { Namespace } from './kernel/kernel.ts';

const FORWARDING = 'net/ipv6/conf/all/forwarding';
const BRIDGE_FILTER6 = 'net/bridge/bridge-nf-call-ip6tables';
const acceptsAdvertisements = (link: string): string => `net/ipv6/conf/${link}/accept_ra`;

/** What a link of ours that has IPv6 addresses is set to: these alone, and nobody on it configures the host. */
export function ipv6LinkSysctls(link: string): Readonly<Record<string, string>> {
  return {
    [`net/ipv6/conf/${link}/addr_gen_mode`]: '1',
    [`net/ipv6/conf/${link}/accept_ra`]: '0',
    [`net/ipv6/conf/${link}/disable_ipv6`]: '0',
  };
}

/**
 * What the host is set to when it forwards IPv6. A host that forwards forgets what routers advertised and does not listen
 * to them any more, so one that got its default route in that way is told to go on: 2 stands for "although it forwards".
 */
export function ipv6ForwardingSysctls(
  namespace: Pick<Namespace, 'readSysctl' | 'observe'>,
): Readonly<Record<string, string>> {
  const wanted = { [FORWARDING]: '1', [BRIDGE_FILTER6]: '1' };
  if (namespace.readSysctl(FORWARDING) === '1') return wanted;
  const links = ['default', ...namespace.observe('links').links.map(({ name }) => name)];
  const listening = links
    .map(acceptsAdvertisements)
    .filter((key) => namespace.readSysctl(key) === '1');
  // Before it forwards: the kernel throws routes away in that moment.
  return { ...Object.fromEntries(listening.map((key) => [key, '2'])), ...wanted };
}

/** Of arp(7), the last first: none may exceed the next. */
const NEIGHBOUR_LIMITS = { gc_thresh3: 16_384, gc_thresh2: 8_192, gc_thresh1: 4_096 } as const;

/**
 * The kernel keeps the neighbours of all network namespaces of the machine in one table of 1,024: with some dozens of
 * containers that talk to each other it is full, and who asks for one more waits for seconds. Seen, and set, in the first
 * namespace alone.
 */
export function neighbourSysctls(
  namespace: Pick<Namespace, 'readSysctl'>,
): Readonly<Record<string, string>> {
  const keys = ['ipv4', 'ipv6'].flatMap((family) =>
    Object.entries(NEIGHBOUR_LIMITS).map(
      ([name, least]) => [`net/${family}/neigh/default/${name}`, least] as const,
    ),
  );
  const low = keys.filter(([key, least]) => Number(namespace.readSysctl(key)) < least);
  return Object.fromEntries(low.map(([key, least]) => [key, String(least)]));
}
