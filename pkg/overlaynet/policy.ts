import type { RuleExpression } from 'vxlan-netlink';
import { compareText, type NetworkTable } from '../model/index.ts';
import { loadSource, matchLink, matchNewConnection, matchProtocol } from './expression.ts';
import { type Family, keysOf } from './family.ts';
import { policyTableName } from './name.ts';
import type { Ruleset } from './ruleset.ts';

const PRIORITY_FILTER = 0;

/**
 * Who may open connections to a task over this network, when its service names those it takes them from: tasks of these
 * services and of its own, in any state, since a task may ask before it serves. Others are refused at once.
 * @param task its IPv4 address on the network, without prefix length, and its link there
 * @param family of the connections that the rules look at
 * @returns undefined when everybody may
 */
export function policyRuleset(
  table: NetworkTable,
  { address, link }: { readonly address: string; readonly link: string },
  family: Family,
): Ruleset | undefined {
  const task = table.endpoints.find(({ addresses }) => addresses.includes(address));
  const service = table.services.find(({ serviceId }) => serviceId === task?.serviceId);
  if (service?.allowFrom === undefined) return undefined;
  const names = new Set([...service.allowFrom, service.name]);
  const allowed = table.endpoints
    .filter(({ serviceName }) => names.has(serviceName))
    .flatMap(({ addresses }) => addresses)
    .toSorted(compareText);
  const comes = [...matchLink('iifname', 'eq', link), ...matchNewConnection];
  const accept: RuleExpression = { kind: 'verdict', verdict: { verdict: 'accept' } };
  return {
    table: family.tableOf(policyTableName(table.networkId)),
    sets: [
      {
        name: 'allowed',
        shape: { key: [family.keyType] },
        elements: keysOf(family, allowed).map((key) => ({ key })),
      },
    ],
    chains: [
      {
        name: 'input',
        hook: { type: 'filter', hook: 'input', priority: PRIORITY_FILTER },
        rules: [
          [...comes, loadSource(1, family), { kind: 'lookup', set: 'allowed', source: 1 }, accept],
          [...comes, ...matchProtocol('tcp'), { kind: 'reject', reply: 'tcp-reset' }],
          [...comes, { kind: 'reject', reply: 'port-unreachable' }],
        ],
      },
    ],
  };
}
