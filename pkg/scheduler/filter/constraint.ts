import { nodeSatisfies, parseConstraint } from '../../model/index.ts';
import { type Candidate, type Filter, onNodes } from './filter.ts';

const NODE_LABEL = 'node.labels.';

/** `Placement.Constraints` hold. */
export const constraintFilter: Filter = {
  name: 'constraints',
  applies: (candidate) => constraints(candidate).length > 0,
  accepts: ({ node }, candidate) => nodeSatisfies(node, constraints(candidate)),
  explain: (nodes) => onNodes('scheduling constraints not satisfied', nodes),
  remedy: ({ node }, candidate) => {
    const broken = constraints(candidate).filter((text) => !nodeSatisfies(node, [text]));
    const labels = broken.map(wantedLabel);
    return labels.every((label) => label !== undefined)
      ? {
          text: labels.map((label) => `label ${label}`).join(', '),
          where: 'node',
          cost: broken.length,
        }
      : {
          text: `give up ${broken.map((text) => `constraint ${text}`).join(' and ')}`,
          where: 'service',
          cost: broken.length,
        };
  },
};

/** The label that a node would have to carry: `zone=a` for `node.labels.zone==a` or `node.labels.zone in a,b`. */
function wantedLabel(text: string): string | undefined {
  const constraint = parseConstraint(text);
  if ('error' in constraint || !constraint.key.toLowerCase().startsWith(NODE_LABEL)) {
    return undefined;
  }
  const key = constraint.key.slice(NODE_LABEL.length);
  if (constraint.operator === '==') return `${key}=${constraint.value}`;
  if (constraint.operator === 'in') return `${key}=${constraint.value.split(',', 1)[0]?.trim()}`;
  return constraint.operator === 'exists' ? `${key}=true` : undefined;
}

function constraints({ spec }: Candidate): readonly string[] {
  return spec.TaskTemplate?.Placement?.Constraints ?? [];
}
