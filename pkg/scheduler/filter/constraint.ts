import { nodeSatisfies } from '../../model/index.ts';
import { type Candidate, type Filter, onNodes } from './filter.ts';

/** `Placement.Constraints` hold. */
export const constraintFilter: Filter = {
  applies: (candidate) => constraints(candidate).length > 0,
  accepts: ({ node }, candidate) => nodeSatisfies(node, constraints(candidate)),
  explain: (nodes) => onNodes('scheduling constraints not satisfied', nodes),
};

function constraints({ spec }: Candidate): readonly string[] {
  return spec.TaskTemplate?.Placement?.Constraints ?? [];
}
