import type { Node, NodeDriver } from '../../model/index.ts';
import type { MemberStatus } from '../../store/index.ts';
import type { DockerJson } from '../engine.ts';
import { renderGenericResources } from './generic-resource.ts';
import { timeText } from './time.ts';

export interface NodeRendering {
  /** The node that answers. */
  readonly self: string;
  readonly members: readonly MemberStatus[];
  readonly tlsInfo: DockerJson | undefined;
}

/** The Engine API's Node. */
export function renderNode(node: Node, rendering: NodeRendering): DockerJson {
  return {
    ID: node.id,
    Version: { Index: node.version },
    CreatedAt: timeText(node.createdAt),
    UpdatedAt: timeText(node.updatedAt),
    Spec: { ...node.spec, Labels: node.spec.Labels ?? {} },
    Description: renderDescription(node, rendering.tlsInfo),
    Status: {
      State: node.status.state,
      ...(node.status.message && { Message: node.status.message }),
      Addr: node.status.address,
    },
    ...(node.manager && { ManagerStatus: renderManager(node, rendering) }),
  };
}

function renderManager(node: Node, { members, self }: NodeRendering): DockerJson {
  const known = members.find((member) => member.nodeId === node.id);
  return {
    ...(known?.leader && { Leader: true }),
    Reachability: known ? reachability(node, members, self) : 'unknown',
    Addr: known?.address ?? '',
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
      ...(description?.genericResources?.length && {
        GenericResources: renderGenericResources(description.genericResources),
      }),
    },
    Engine: {
      EngineVersion: description?.engineVersion ?? '',
      Labels: description?.engineLabels ?? {},
      Plugins: [
        ...(description?.plugins ?? []).map(({ type, name }) => ({ Type: type, Name: name })),
        ...(description?.csi ?? []).map(({ name }) => ({ Type: 'csinode', Name: name })),
      ],
    },
    ...(description?.csi && { CSIInfo: description.csi.map(renderDriver) }),
    ...(tlsInfo && { TLSInfo: tlsInfo }),
  };
}

function renderDriver({ name, nodeId, volumesMax, topology }: NodeDriver): DockerJson {
  return {
    PluginName: name,
    NodeID: nodeId,
    ...(volumesMax !== undefined && { MaxVolumesPerNode: volumesMax }),
    ...(topology && { AccessibleTopology: { Segments: topology } }),
  };
}

/** Docker's words. A manager that is still being brought up to date has no vote: nobody may count on it as `reachable`. */
function reachability(node: Node, members: readonly MemberStatus[], self: string): string {
  if (!isReachable(node, members, self)) return 'unreachable';
  const votes = members.some(({ nodeId, role }) => nodeId === node.id && role === 'voter');
  return votes ? 'reachable' : 'unknown';
}

/**
 * Whether a manager answers the others. The leader hears from everybody; another manager hears only from the leader
 * and goes by what the leader's dispatcher last wrote of the node.
 */
export function isReachable(node: Node, members: readonly MemberStatus[], self: string): boolean {
  const member = members.find((candidate) => candidate.nodeId === node.id);
  if (!member) return false;
  if (member.reachable || member.leader) return true;
  const leads = members.some((candidate) => candidate.leader && candidate.nodeId === self);
  return !leads && node.status.state === 'ready';
}
