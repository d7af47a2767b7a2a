import type { Config, Secret } from '../model/index.ts';
import type { AssignmentChanges } from '../rpc/index.ts';

/** Secrets and configs of the node's unfinished tasks. In memory only; forgotten with the message that says so. */
export class Dependencies {
  readonly #secrets = new Map<string, Uint8Array>();
  readonly #configs = new Map<string, Uint8Array>();
  readonly #templated = new Set<string>();

  get secrets(): ReadonlyMap<string, Uint8Array> {
    return this.#secrets;
  }

  get configs(): ReadonlyMap<string, Uint8Array> {
    return this.#configs;
  }

  /** Ids whose placeholders are filled in for each task (`--template-driver golang`). */
  get templated(): ReadonlySet<string> {
    return this.#templated;
  }

  apply(changes: AssignmentChanges, complete: boolean): void {
    if (complete) this.clear();
    for (const { id, spec } of [...changes.secrets, ...changes.configs]) {
      if (spec.Templating?.Name === 'golang') this.#templated.add(id);
      else this.#templated.delete(id);
    }
    for (const secret of changes.secrets) this.#secrets.set(secret.id, bytesOf(secret));
    for (const config of changes.configs) this.#configs.set(config.id, bytesOf(config));
    for (const id of changes.removedSecrets) this.#forgetSecret(id);
    for (const id of changes.removedConfigs) {
      this.#configs.delete(id);
      this.#templated.delete(id);
    }
  }

  clear(): void {
    for (const id of [...this.#secrets.keys()]) this.#forgetSecret(id);
    this.#configs.clear();
    this.#templated.clear();
  }

  #forgetSecret(id: string): void {
    this.#secrets.get(id)?.fill(0);
    this.#secrets.delete(id);
    this.#templated.delete(id);
  }
}

function bytesOf({ spec }: Secret | Config): Uint8Array {
  return Buffer.from(spec.Data ?? '', 'base64');
}
