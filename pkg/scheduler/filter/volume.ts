import { volumeWishes } from '../volume-use.ts';
import { type Filter, onNodes } from './filter.ts';

/** Every mount of type `cluster` finds a volume that may be used on the node, as it is used now. */
export const volumeFilter: Filter = {
  name: 'volumes',
  applies: ({ spec }) => volumeWishes(spec).length > 0,
  accepts: ({ node }, { spec, volumes }) =>
    volumes.pick(volumeWishes(spec), node).obstacle === undefined,
  explain: (nodes) => onNodes('cannot fulfill requested CSI volume mounts', nodes),
  remedy: ({ node }, { spec, volumes }) => {
    const { obstacle } = volumes.pick(volumeWishes(spec), node);
    return obstacle?.text === undefined
      ? undefined
      : { text: obstacle.text, where: obstacle.where, cost: 0 };
  },
};
