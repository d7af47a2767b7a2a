import type { Config, Secret } from '../../model/index.ts';
import type { DockerJson } from '../engine.ts';
import { timeText } from './time.ts';

/** The Engine API's Secret: never with its data. */
export function renderSecret(secret: Secret): DockerJson {
  const { Data: _data, ...spec } = secret.spec;
  return render(secret, spec);
}

/** The Engine API's Config, data included. */
export function renderConfig(config: Config): DockerJson {
  return render(config, config.spec);
}

function render(object: Secret | Config, spec: object): DockerJson {
  return {
    ID: object.id,
    Version: { Index: object.version },
    CreatedAt: timeText(object.createdAt),
    UpdatedAt: timeText(object.updatedAt),
    Spec: { ...spec, Labels: object.spec.Labels ?? {} },
  };
}
