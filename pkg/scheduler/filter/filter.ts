import type { ServiceSpec, Task } from '../../model/index.ts';
import type { NodeLoad } from '../node-load.ts';
import type { VolumeUse } from '../volume-use.ts';

/** What is to be placed: a task, standing for all that are made from the same spec. */
export interface Candidate {
  readonly task: Task;
  readonly spec: ServiceSpec;
  readonly volumes: VolumeUse;
}

/** One reason for a node to refuse a task. */
export interface Filter {
  /** May be left out for this task altogether. */
  applies(candidate: Candidate): boolean;
  accepts(load: NodeLoad, candidate: Candidate): boolean;
  /** The refusal of `nodes` nodes in SwarmKit's words. */
  explain(nodes: number, candidate: Candidate): string;
  readonly name: FilterName;
  /** For a node that was refused: the least that would make it acceptable to this filter, if anything would. */
  remedy(load: NodeLoad, candidate: Candidate): Remedy | undefined;
}

export type FilterName =
  | 'ready'
  | 'resources'
  | 'generic-resources'
  | 'plugins'
  | 'constraints'
  | 'platform'
  | 'host-ports'
  | 'max-replicas'
  | 'volumes';

/** What somebody could change. Remedies with the same text are one, for several nodes. */
export interface Remedy {
  /** What to do, `label zone=a`; the node is named after it when `where` is node. */
  readonly text: string;
  readonly where: 'node' | 'service';
  /** Orders remedies of one filter: the smallest is offered. */
  readonly cost: number;
}

export function onNodes(text: string, nodes: number): string {
  return `${text} on ${nodes} ${nodes === 1 ? 'node' : 'nodes'}`;
}
