import type { Node } from '../../model/index.ts';
import type { MemberStatus } from '../../store/index.ts';
import type { DockerJson } from '../engine.ts';
import { timeText } from './time.ts';

export interface NodeRendering {
  readonly members: readonly MemberStatus[];
  readonly tlsInfo: DockerJson | undefined;
}

/** The Engine API's Node. */
export function renderNode(node: Node, { members, tlsInfo }: NodeRendering): DockerJson {
  const member = members.find((candidate) => candidate.nodeId === node.id);
  return {
    ID: node.id,
    Version: { Index: node.version },
    CreatedAt: timeText(node.createdAt),
    UpdatedAt: timeText(node.updatedAt),
    Spec: { ...node.spec, Labels: node.spec.Labels ?? {} },
    Description: renderDescription(node, tlsInfo),
    Status: {
      State: node.status.state,
      ...(node.status.message && { Message: node.status.message }),
      Addr: node.status.address,
    },
    ...(node.manager && { ManagerStatus: managerStatus(node.manager.address, member) }),
  };
}

function renderDescription(node: Node, tlsInfo: DockerJson | undefined): DockerJson {
  const { description } = node;
  return {
    Hostname: description?.hostname ?? '',
    Platform: {
      Architecture: description?.architecture ?? '',
      OS: description?.os ?? '',
    },
    Resources: {
      NanoCPUs: description?.nanoCpus ?? 0,
      MemoryBytes: description?.memoryBytes ?? 0,
    },
    Engine: {
      EngineVersion: description?.engineVersion ?? '',
      Labels: description?.engineLabels ?? {},
      Plugins: (description?.plugins ?? []).map(({ type, name }) => ({ Type: type, Name: name })),
    },
    ...(tlsInfo && { TLSInfo: tlsInfo }),
  };
}

function managerStatus(address: string, member: MemberStatus | undefined): DockerJson {
  return {
    ...(member?.leader && { Leader: true }),
    Reachability: reachability(member),
    Addr: address,
  };
}

function reachability(member: MemberStatus | undefined): string {
  if (!member) return 'unknown';
  return member.reachable || member.leader ? 'reachable' : 'unreachable';
}
