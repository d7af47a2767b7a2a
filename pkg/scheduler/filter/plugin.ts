import type { Node } from '../../model/index.ts';
import { type Candidate, type Filter, onNodes } from './filter.ts';

/** The node has the volume and log drivers that the task names; a node that reports none of a kind is trusted. */
export const pluginFilter: Filter = {
  name: 'plugins',
  applies: (candidate) => logDriver(candidate) !== '' || volumeDrivers(candidate).length > 0,
  accepts: ({ node }, candidate) => {
    const log = logDriver(candidate);
    if (log !== '' && !offers(node, 'Log', log)) return false;
    return volumeDrivers(candidate).every((name) => offers(node, 'Volume', name));
  },
  explain: (nodes) => onNodes('missing plugin', nodes),
  remedy: (_load, candidate) => ({
    text: `install ${[logDriver(candidate), ...volumeDrivers(candidate)].filter((name) => name !== '').join(', ')}`,
    where: 'node',
    cost: 0,
  }),
};

function logDriver({ spec }: Candidate): string {
  const name = spec.TaskTemplate?.LogDriver?.Name ?? '';
  return name === 'none' ? '' : name;
}

function volumeDrivers({ spec }: Candidate): readonly string[] {
  const mounts = spec.TaskTemplate?.ContainerSpec?.Mounts ?? [];
  return mounts
    .map((mount) => mount.VolumeOptions?.DriverConfig?.Name ?? '')
    .filter((name) => name !== '' && name !== 'local');
}

function offers(node: Node, type: string, name: string): boolean {
  const ofType = (node.description?.plugins ?? []).filter((plugin) => plugin.type === type);
  return ofType.length === 0 || ofType.some((plugin) => plugin.name === name);
}
