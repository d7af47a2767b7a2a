import {
  isSound,
  type NetworkCheck,
  type NetworkProbe,
  type NodeNetworkCheck,
} from '../../pkg/model/index.ts';
import type { Context } from './context.ts';
import { Failure } from './failure.ts';
import { type Column, type Output, printJson, printList } from './output.ts';

interface NetworkRow {
  readonly Id: string;
  readonly Scope: string;
}

/**
 * Checks the networks named, or all of the cluster, and prints a matrix of who reaches what.
 * @throws Failure when anything is not as it should be
 */
export async function checkNetworks(
  { client, output }: Context,
  names: readonly string[],
  format: string | undefined,
): Promise<void> {
  if (format !== undefined && format !== 'json') {
    throw new Failure(`--format ${format} is not known here: leave it out, or say json`);
  }
  const all = async (): Promise<readonly string[]> =>
    (await client.get<NetworkRow[]>('/networks'))
      .filter(({ Scope }) => Scope === 'swarm')
      .map(({ Id }) => Id);
  const checks: NetworkCheck[] = [];
  for (const name of names.length > 0 ? names : await all()) {
    checks.push(await client.get<NetworkCheck>(`/networks/${encodeURIComponent(name)}/check`));
  }
  if (format === 'json') printJson(output, checks);
  else for (const check of checks) printCheck(output, check);
  const unsound = checks.filter((check) => !isSound(check));
  if (unsound.length > 0) {
    const which = unsound.map(({ name }) => name).join(', ');
    throw new Failure(`not every node reaches everything: ${which}`);
  }
}

export function printCheck(output: Output, check: NetworkCheck): void {
  const { name, digest, nodes } = check;
  output.line(`network ${name}, table ${digest}`);
  if (nodes.length === 0) output.line('no node takes part');
  else printList(output, nodes, columnsOf(check), {});
  for (const line of troublesOf(check)) output.line(line);
  output.line('');
}

/** One row for each node that asks, one column for the VIPs and one for each node that is asked. */
function columnsOf({ digest, nodes }: NetworkCheck): readonly Column<NodeNetworkCheck>[] {
  const probes = nodes.flatMap(({ check }) => check?.probes ?? []);
  const held = new Set<string | undefined>(probes.map(({ nodeId }) => nodeId));
  const reached =
    (of: (probe: NetworkProbe) => boolean): Column<NodeNetworkCheck>['cell'] =>
    ({ check }): string =>
      share(check?.probes.filter(of) ?? []);
  const vips = probes.some(({ kind }) => kind === 'vip')
    ? [{ title: 'VIPS', cell: reached(({ kind }) => kind === 'vip') }]
    : [];
  return [
    { title: 'FROM', cell: (row) => row.hostname },
    { title: 'TABLE', cell: (row) => tableState(row, digest) },
    { title: 'KERNEL', cell: (row) => kernelState(row) },
    { title: 'REPAIRS', cell: (row) => String(row.check?.repairs ?? '-') },
    ...vips,
    ...nodes
      .filter(({ nodeId }) => held.has(nodeId))
      .map(({ nodeId, hostname }) => {
        const of = (probe: NetworkProbe): boolean => probe.nodeId === nodeId;
        return { title: `TO ${hostname}`, cell: reached(of) };
      }),
  ];
}

function share(probes: readonly NetworkProbe[]): string {
  const reached = probes.filter((probe) => probe.reached).length;
  return probes.length === 0 ? '-' : `${reached}/${probes.length}`;
}

function tableState({ check, acknowledged }: NodeNetworkCheck, digest: string): string {
  if (check === undefined) return '-';
  if (check.digest !== digest) return `other (${check.digest})`;
  return acknowledged ? 'current' : 'not acknowledged';
}

function kernelState({ check, problem }: NodeNetworkCheck): string {
  if (check === undefined) return problem ?? '-';
  return check.differences.length === 0 ? 'as told' : `${check.differences.length} differences`;
}

function troublesOf({ nodes }: NetworkCheck): readonly string[] {
  const hostnames = new Map<string, string>(nodes.map((node) => [node.nodeId, node.hostname]));
  return nodes.flatMap(({ hostname, check }) => {
    const missed = (check?.probes ?? []).filter(({ reached }) => !reached);
    const lines = missed.map(({ from, kind, name, address, nodeId, reason }) => {
      const holder = nodeId === undefined ? '' : ` on ${hostnames.get(nodeId) ?? nodeId}`;
      return `${hostname}: ${from} does not reach ${kind} ${name} ${address}${holder}: ${reason}`;
    });
    return [...lines, ...(check?.differences ?? []).map((line) => `${hostname}: ${line}`)];
  });
}
