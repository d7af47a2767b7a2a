import type { ServiceSpec, Task } from '../../model/index.ts';
import type { NodeLoad } from '../node-load.ts';

/** What is to be placed: a task, standing for all that are made from the same spec. */
export interface Candidate {
  readonly task: Task;
  readonly spec: ServiceSpec;
}

/** One reason for a node to refuse a task. */
export interface Filter {
  /** May be left out for this task altogether. */
  applies(candidate: Candidate): boolean;
  accepts(load: NodeLoad, candidate: Candidate): boolean;
  /** The refusal of `nodes` nodes in SwarmKit's words. */
  explain(nodes: number): string;
}

export function onNodes(text: string, nodes: number): string {
  return `${text} on ${nodes} ${nodes === 1 ? 'node' : 'nodes'}`;
}
