import { architecture } from '../../model/index.ts';
import { type Candidate, type Filter, onNodes } from './filter.ts';

/** The image exists for the node's system and processor. */
export const platformFilter: Filter = {
  name: 'platform',
  applies: (candidate) => platforms(candidate).length > 0,
  accepts: ({ node }, candidate) =>
    platforms(candidate).some(({ OS, Architecture }) => {
      const os = !OS || OS.toLowerCase() === (node.description?.os ?? '').toLowerCase();
      const wanted = architecture(Architecture ?? '');
      return os && (wanted === '' || wanted === architecture(node.description?.architecture ?? ''));
    }),
  explain: (nodes) => onNodes('unsupported platform', nodes),
  remedy: ({ node }) => ({
    text: `use an image for ${node.description?.os ?? '?'}/${architecture(node.description?.architecture ?? '?')}`,
    where: 'service',
    cost: 0,
  }),
};

function platforms({ spec }: Candidate): readonly {
  readonly OS?: string | undefined;
  readonly Architecture?: string | undefined;
}[] {
  return spec.TaskTemplate?.Placement?.Platforms ?? [];
}
