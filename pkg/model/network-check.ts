import type { NetworkTable } from './endpoint.ts';
import { compareText, type NetworkId, type NodeId, type Version } from './id.ts';

/** One question asked inside one namespace: does this address of the network answer? */
export interface NetworkProbe {
  /** Name of the container whose namespace it was asked in; `host` for the mesh. */
  readonly from: string;
  readonly kind: 'vip' | 'endpoint' | 'gateway';
  readonly address: string;
  /** Service of a VIP, task or container of an endpoint, node of a gateway. */
  readonly name: string;
  /** Node that holds the address; absent for a VIP. */
  readonly nodeId?: NodeId | undefined;
  readonly reached: boolean;
  /** Why not, as far as known. */
  readonly reason?: string | undefined;
}

/** What one node says of one network. */
export interface HostNetworkCheck {
  /** Of the table it was given last. */
  readonly revision: Version;
  /** Of what that table says, the revision aside: equal on nodes that were told the same. */
  readonly digest: string;
  /** Where the kernel is not as the table says, one line each; looked for, not repaired. */
  readonly differences: readonly string[];
  /** Rounds of the audit that had to put something back, on any network, since the agent started. */
  readonly repairs: number;
  readonly probes: readonly NetworkProbe[];
}

export interface NodeNetworkCheck {
  readonly nodeId: NodeId;
  readonly hostname: string;
  /** Why there is no `check`: the node has no session, or did not answer in time. */
  readonly problem?: string | undefined;
  /** Whether it said that its kernel holds the newest table. */
  readonly acknowledged: boolean;
  readonly check?: HostNetworkCheck | undefined;
}

/** What all nodes that take part in a network say of it. */
export interface NetworkCheck {
  readonly networkId: NetworkId;
  readonly name: string;
  /** Of the table as the manager derives it now. */
  readonly digest: string;
  readonly nodes: readonly NodeNetworkCheck[];
}

/** Whether everything was reached, by every node, with the table that the manager has. */
export function isSound({ digest, nodes }: NetworkCheck): boolean {
  return nodes.every(
    ({ check, acknowledged }) =>
      acknowledged && check?.digest === digest && check.probes.every(({ reached }) => reached),
  );
}

/** What a table says, the revision aside, as text that is equal when two tables say the same. */
export function tableText(table: NetworkTable): string {
  const { networkId, vni, dataPathPort, mtu = 0, subnets } = table;
  return JSON.stringify([
    [networkId, vni, dataPathPort, mtu, table.ingress, table.internal],
    subnets.map(({ subnet, gateway }) => [subnet, gateway]),
    lines(table.peers),
    lines(table.endpoints),
    lines(table.services),
    lines(table.gateways),
  ]);
}

/** Members' own order says nothing, nor do fields without a value. */
function lines(members: readonly object[]): readonly string[] {
  const text = (member: object): string => {
    const fields = Object.entries(member).filter(([, value]) => value !== undefined);
    return JSON.stringify(fields.toSorted(([left], [right]) => compareText(left, right)));
  };
  return members.map(text).toSorted(compareText);
}
