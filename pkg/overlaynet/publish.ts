import { CT_STATUS_DNAT, type RuleExpression } from 'vxlan-netlink';
import {
  dispatchOnPort,
  matchCtBits,
  matchLink,
  matchLocalDestination,
  matchOthers,
  matchPlaces,
  matchSource,
  portElement,
  translateTo,
} from './expression.ts';
import { type Family, IPV4, IPV6 } from './family.ts';
import { TABLE_PREFIX } from './name.ts';
import type { Chain, Ruleset } from './ruleset.ts';

const PRIORITY_DNAT = -100;
const PRIORITY_SNAT = 100;
const PRIORITY_FILTER = 0;

/** A bridge of this host: the gateway bridge or a local network. */
export interface HostBridge {
  readonly link: string;
  /** Of the family that the rules are about. */
  readonly subnet: string;
  readonly internal: boolean;
  /** Its containers do not talk to each other. */
  readonly walled: boolean;
}

/** A port of this node alone (`mode=host`, `docker run -p`). */
export interface PublishedHostPort {
  readonly protocol: 'tcp' | 'udp';
  readonly publishedPort: number;
  readonly hostIp?: string | undefined;
  /** Beside `hostIp`, which goes before. */
  readonly listenOn?: readonly string[] | undefined;
  readonly targetAddress: string;
  readonly targetPort: number;
}

/**
 * The host's own table of a family: the way out for containers, ports of single containers, walls between bridges. Ports
 * that lead to an address of the other family are passed over.
 * @param bridgeFilter packets that come by a bridge meet our rules before the kernel looks at them: what is turned back to
 *   ::1 there counts as forged to it, so ports are not open on ::1 and refuse at once
 */
export function hostRuleset(
  bridges: readonly HostBridge[],
  ports: readonly PublishedHostPort[],
  { family, bridgeFilter }: { readonly family: Family; readonly bridgeFilter: boolean },
): Ruleset {
  const chains = portChains(ports, family);
  const elements = chains.map(({ protocol, port, name }) => portElement(protocol, port, name));
  const enter: RuleExpression[] = [
    ...matchLocalDestination,
    ...(bridgeFilter && family === IPV6 ? matchOthers(family.loopback, family) : []),
    ...dispatchOnPort('ports'),
  ];
  const nat = (hook: 'prerouting' | 'output'): Chain => ({
    name: hook,
    hook: { type: 'nat', hook, priority: PRIORITY_DNAT },
    rules: [enter],
  });
  return {
    table: family.tableOf(`${TABLE_PREFIX}host`),
    sets: [{ name: 'ports', shape: { key: ['protocol', 'port'], value: 'verdict' }, elements }],
    chains: [
      nat('prerouting'),
      nat('output'),
      {
        name: 'postrouting',
        hook: { type: 'nat', hook: 'postrouting', priority: PRIORITY_SNAT },
        rules: bridges.flatMap((bridge) => translationRules(bridge, family)),
      },
      {
        name: 'forward',
        hook: { type: 'filter', hook: 'forward', priority: PRIORITY_FILTER },
        rules: forwardRules(bridges),
      },
      ...chains,
    ],
  };
}

function portChains(
  ports: readonly PublishedHostPort[],
  family: Family,
): readonly (Chain & { readonly protocol: 'tcp' | 'udp'; readonly port: number })[] {
  const groups = new Map<string, PublishedHostPort[]>();
  for (const port of ports.filter(({ targetAddress }) => family.has(targetAddress))) {
    const name = `${port.protocol}-${port.publishedPort}`;
    groups.set(name, [...(groups.get(name) ?? []), port]);
  }
  return [...groups].flatMap(([name, group]) => {
    const [first] = group;
    if (first === undefined) return [];
    const rules = group.flatMap((port) =>
      matchPlaces(placesOf(port, family), family).map((place) => [
        ...place,
        ...translateTo(port.targetAddress, port.targetPort),
      ]),
    );
    return [{ name, rules, protocol: first.protocol, port: first.publishedPort }];
  });
}

/** Nothing and `::` stand for the addresses of both families, `0.0.0.0` for those of its own. */
function placesOf(
  { hostIp, listenOn }: PublishedHostPort,
  family: Family,
): readonly string[] | undefined {
  if (hostIp === IPV4.any && family !== IPV4) return [];
  return isAnyAddress(hostIp) ? listenOn : [hostIp];
}

/** `0.0.0.0`, `::` and nothing mean all addresses of the host. */
export function isAnyAddress(address: string | undefined): address is undefined {
  return address === undefined || address === '' || address === '0.0.0.0' || address === '::';
}

function translationRules(
  { link, subnet, internal }: HostBridge,
  family: Family,
): readonly RuleExpression[][] {
  const masquerade: RuleExpression = { kind: 'masquerade' };
  const intoBridge = matchLink('oifname', 'eq', link);
  const rules: RuleExpression[][] = [
    // The host itself over 127.0.0.1 or ::1, and a container that reaches its own bridge through a published port.
    [...intoBridge, ...matchSource(family.loopback, family), masquerade],
    [
      ...intoBridge,
      ...matchSource(subnet, family),
      ...matchCtBits('status', CT_STATUS_DNAT),
      masquerade,
    ],
  ];
  if (!internal) {
    rules.push([...matchSource(subnet, family), ...matchLink('oifname', 'neq', link), masquerade]);
  }
  return rules;
}

/** Bridges do not talk to each other, except through published ports; internal ones talk to nobody. */
function forwardRules(bridges: readonly HostBridge[]): readonly RuleExpression[][] {
  const drop: RuleExpression = { kind: 'verdict', verdict: { verdict: 'drop' } };
  const rules: RuleExpression[][] = [
    [...matchCtBits('status', CT_STATUS_DNAT), { kind: 'verdict', verdict: { verdict: 'accept' } }],
  ];
  for (const { link, internal, walled } of bridges) {
    const comes = matchLink('iifname', 'eq', link);
    const leaves = matchLink('oifname', 'eq', link);
    if (walled) rules.push([...comes, ...leaves, drop]);
    if (internal) {
      rules.push([...comes, ...matchLink('oifname', 'neq', link), drop]);
      rules.push([...leaves, ...matchLink('iifname', 'neq', link), drop]);
      continue;
    }
    for (const other of bridges) {
      if (other.link !== link)
        rules.push([...comes, ...matchLink('oifname', 'eq', other.link), drop]);
    }
  }
  return rules;
}
