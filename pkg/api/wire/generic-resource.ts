import type { GenericResource } from '../../model/index.ts';
import type { DockerJson } from '../engine.ts';

/** One entry per name, or one number per kind. */
export function renderGenericResources(list: readonly GenericResource[]): readonly DockerJson[] {
  return list.flatMap(({ kind, amount, names }): readonly DockerJson[] =>
    names
      ? names.map((name) => ({ NamedResourceSpec: { Kind: kind, Value: name } }))
      : [{ DiscreteResourceSpec: { Kind: kind, Value: amount } }],
  );
}
