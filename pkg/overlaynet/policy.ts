import { encodeIpv4, type RuleExpression } from 'vxlan-netlink';
import { compareText, type NetworkTable } from '../model/index.ts';
import { loadSource, matchLink, matchNewConnection, matchProtocol } from './expression.ts';
import { policyTableName } from './name.ts';
import type { Ruleset } from './ruleset.ts';

const PRIORITY_FILTER = 0;

/**
 * Who may open connections to a task over this network, when its service names those it takes them from: tasks of these
 * services and of its own, in any state, since a task may ask before it serves. Others are refused at once.
 * @param address of the task, without prefix length
 * @param link of the container that is on the network
 * @returns undefined when everybody may
 */
export function policyRuleset(
  table: NetworkTable,
  address: string,
  link: string,
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
    table: policyTableName(table.networkId),
    sets: [
      {
        name: 'allowed',
        shape: { key: ['ipv4'] },
        elements: allowed.map((one) => ({ key: encodeIpv4(one) })),
      },
    ],
    chains: [
      {
        name: 'input',
        hook: { type: 'filter', hook: 'input', priority: PRIORITY_FILTER },
        rules: [
          [...comes, loadSource(1), { kind: 'lookup', set: 'allowed', source: 1 }, accept],
          [...comes, ...matchProtocol('tcp'), { kind: 'reject', reply: 'tcp-reset' }],
          [...comes, { kind: 'reject', reply: 'port-unreachable' }],
        ],
      },
    ],
  };
}
