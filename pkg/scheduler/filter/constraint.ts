import { nodeSatisfies } from '../../model/index.ts';
import { type Candidate, type Filter, onNodes } from './filter.ts';

const LABEL_WANTED = /^\s*node\.labels\.([^=!\s]+)\s*==\s*(.*?)\s*$/i;

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

/** The label that a node would have to carry: `zone=a` for `node.labels.zone==a`. */
function wantedLabel(text: string): string | undefined {
  const [, key, value] = LABEL_WANTED.exec(text) ?? [];
  return key === undefined ? undefined : `${key}=${value ?? ''}`;
}

function constraints({ spec }: Candidate): readonly string[] {
  return spec.TaskTemplate?.Placement?.Constraints ?? [];
}
