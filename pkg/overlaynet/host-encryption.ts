import { ClusterError, errorMessage, type NetworkTable } from '../model/index.ts';
import { type EncryptionNeed, encryptionNeed, planSecurity } from './encryption.ts';
import type { Security } from './kernel/security.ts';

/** Keeps the host's IPsec state as its encrypted networks need it. */
export class HostEncryption {
  readonly #security: Security;
  /** Not known before the first tables: until then nothing of a previous agent is touched. */
  #need: EncryptionNeed | undefined | 'unknown' = 'unknown';
  #text = '';

  constructor(security: Security) {
    this.#security = security;
  }

  /** @param self address of this host, of the family that it would encrypt */
  canEncrypt(self: string): boolean {
    return this.#security.canEncrypt(self);
  }

  /**
   * To be called before the ways of these networks are opened.
   * @returns why the kernel cannot encrypt: such a network must not be used then
   */
  settle(tables: readonly NetworkTable[], self: string): ClusterError | undefined {
    const need = encryptionNeed(tables, self);
    const text = JSON.stringify(need ?? null);
    if (text === this.#text) return undefined;
    this.#need = need;
    try {
      this.repair();
    } catch (cause) {
      return cannotEncrypt(cause);
    }
    this.#text = text;
    return undefined;
  }

  /** @returns how many objects had to be put right */
  repair(): number {
    if (this.#need === 'unknown') return 0;
    const operations = planSecurity(this.#need, this.#security.observe());
    this.#security.apply(operations);
    return operations.length;
  }

  removeEverything(): void {
    this.#security.apply(planSecurity(undefined, this.#security.observe()));
  }
}

function cannotEncrypt(cause: unknown): ClusterError {
  const why = `${errorMessage(cause)}; the kernel needs ESP with AES-GCM (modules gcm and esp4, or esp6 between IPv6 hosts)`;
  const text = `cannot encrypt overlay networks on this node: ${why}`;
  return new ClusterError('not-implemented', text, { cause });
}
