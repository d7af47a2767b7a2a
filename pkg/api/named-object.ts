import {
  type Config,
  type ConfigSpec,
  canonicalJson,
  type Secret,
  type SecretSpec,
  type Service,
} from '../model/index.ts';
import { controlError } from './failure.ts';
import type { Filters } from './filters.ts';

/** Filters of secrets and configs. `names` is the exact one. */
export const NAMED_FILTERS = ['id', 'name', 'names', 'label'];

export function matchesNamed(object: Secret | Config, filters: Filters): boolean {
  return (
    filters.prefix('id', object.id) &&
    filters.prefix('name', object.spec.Name) &&
    filters.exact('names', object.spec.Name) &&
    filters.labels('label', object.spec.Labels)
  );
}

/** Everything but the labels stays for ever; clients leave `Data` out or send it again. */
export function refuseDataChange(
  stored: SecretSpec | ConfigSpec,
  sent: SecretSpec | ConfigSpec,
): void {
  const sameName = !sent.Name || sent.Name === stored.Name;
  const sameData = !sent.Data || sent.Data === stored.Data;
  const sameTemplating =
    !sent.Templating || canonicalJson(sent.Templating) === canonicalJson(stored.Templating);
  if (sameName && sameData && sameTemplating) return;
  throw controlError('InvalidArgument', 'only updates to Labels are allowed');
}

export function inUse(kind: string, name: string, users: readonly Service[]): string {
  const names = users.map((service) => service.spec.Name ?? service.id).join(', ');
  const noun = users.length > 1 ? 'services' : 'service';
  return `${kind} '${name}' is in use by the following ${noun}: ${names}`;
}
