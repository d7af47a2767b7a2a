import { encodeAddress, isIpv6, type RuleExpression } from 'vxlan-netlink';
import type { NetworkTable } from '../model/index.ts';
import { encryptedPort } from './encryption.ts';
import { loadSource, matchPort, matchProtocol } from './expression.ts';
import { type Family, IPV4, IPV6 } from './family.ts';
import { TABLE_PREFIX } from './name.ts';
import { peersOf } from './peers.ts';
import type { Chain, Ruleset } from './ruleset.ts';

/** Before any filter of the host's own. */
const PRIORITY_GUARD = -10;
/** Before connection tracking. */
const PRIORITY_RAW = -300;
/** UDP header, VXLAN flags and reserved bytes come before the network's number (RFC 7348 section 5). */
const VNI_OFFSET = 12;
/** The byte after it is ignored on receipt, so it must not matter here. */
const VNI_MASK = Buffer.from([0xff, 0xff, 0xff, 0]);

/**
 * Frames of our overlays are taken from nodes of the cluster alone: whoever else can send datagrams to this host would
 * otherwise be on all of its networks. Other tunnels on the same port are not ours to judge.
 * @param self address of this host's tunnel ends, whose sockets take packets of its family alone
 */
export function guardRuleset(tables: readonly NetworkTable[], self: string): Ruleset {
  const family = tunnelFamily(self);
  const ports = [...new Set(tables.map(({ dataPathPort }) => dataPathPort))];
  const tunnelPorts = [
    ...new Set([...ports, ...tables.filter(({ encryption }) => encryption).map(encryptedPort)]),
  ];
  const drop: RuleExpression = { kind: 'verdict', verdict: { verdict: 'drop' } };
  const accept: RuleExpression = { kind: 'verdict', verdict: { verdict: 'accept' } };
  return {
    table: guardTable(family),
    sets: [
      {
        name: 'peers',
        shape: { key: [family.keyType] },
        elements: peersOf(tables, self).map((peer) => ({ key: encodeAddress(peer) })),
      },
      {
        name: 'networks',
        shape: { key: ['mark'] },
        elements: tables.map(({ vni }) => ({ key: vniKey(vni) })),
      },
    ],
    chains: [
      untracked('prerouting', tunnelPorts),
      untracked('output', tunnelPorts),
      {
        name: 'input',
        hook: { type: 'filter', hook: 'input', priority: PRIORITY_GUARD },
        rules: ports.flatMap((port) => [
          [
            ...matchProtocol('udp'),
            ...matchPort(port),
            loadSource(1, family),
            { kind: 'lookup', set: 'peers', source: 1 },
            accept,
          ],
          [
            ...matchProtocol('udp'),
            ...matchPort(port),
            { kind: 'payload', base: 'transport', offset: VNI_OFFSET, length: 4, target: 1 },
            { kind: 'bitwise', source: 1, target: 1, mask: VNI_MASK, xor: Buffer.alloc(4) },
            { kind: 'lookup', set: 'networks', source: 1 },
            drop,
          ],
        ]),
      },
    ],
  };
}

/** Name of the table for tunnels between hosts of a family. */
export function guardTable(family: Family): string {
  return family.tableOf(`${TABLE_PREFIX}guard`);
}

/** Of the packets that carry containers' ones to and from a host with this address. */
function tunnelFamily(self: string): Family {
  return isIpv6(self) ? IPV6 : IPV4;
}

/** The host need not track the outer packets: who is in them is tracked where it lives. */
function untracked(hook: 'prerouting' | 'output', ports: readonly number[]): Chain {
  return {
    name: `untracked-${hook}`,
    hook: { type: 'filter', hook, priority: PRIORITY_RAW },
    rules: ports.map((port) => [...matchProtocol('udp'), ...matchPort(port), { kind: 'notrack' }]),
  };
}

function vniKey(vni: number): Buffer {
  const key = Buffer.alloc(4);
  key.writeUInt32BE(vni << 8);
  return key;
}
