import { isSchedulable } from '../../model/index.ts';
import type { Filter } from './filter.ts';

/** The node is heard and takes new tasks. */
export const readyFilter: Filter = {
  name: 'ready',
  applies: () => true,
  accepts: ({ node }) => isSchedulable(node),
  explain: (nodes) =>
    nodes === 1
      ? '1 node not available for new tasks'
      : `${nodes} nodes not available for new tasks`,
  remedy: ({ node }) =>
    node.status.state === 'ready'
      ? { text: 'activate', where: 'node', cost: 0 }
      : { text: 'bring back', where: 'node', cost: 1 },
};
