import { type Filter, onNodes } from './filter.ts';

/** Cluster volumes (mount type `cluster`) need a storage driver on the node; no node has one. */
export const volumeFilter: Filter = {
  name: 'volumes',
  applies: ({ spec }) =>
    (spec.TaskTemplate?.ContainerSpec?.Mounts ?? []).some((mount) => mount.Type === 'cluster'),
  accepts: () => false,
  explain: (nodes) => onNodes('cannot fulfill requested CSI volume mounts', nodes),
  remedy: () => undefined,
};
