import type { Clock, Logger } from '../io/index.ts';
import { errorMessage, type NodeId } from '../model/index.ts';
import type { Store } from '../store/index.ts';
import { recordLost } from './node-record.ts';

export interface LossWriterOptions {
  readonly store: Pick<Store, 'update' | 'now'>;
  readonly clock: Clock;
  readonly log: Logger;
}

const RETRY_MS = 500;

/** Writes that nodes are down, as often as it takes. */
export class LossWriter {
  readonly #options: LossWriterOptions;
  readonly #underWay = new Map<NodeId, Promise<void>>();
  #leadership = 0;

  constructor(options: LossWriterOptions) {
    this.#options = options;
  }

  /** This manager does not lead any more: the next leader finds out by itself who is lost. */
  stop(): void {
    this.#leadership += 1;
    this.#underWay.clear();
  }

  write(nodes: readonly NodeId[]): void {
    const written = this.#write(nodes, this.#leadership).finally(() => {
      for (const nodeId of nodes) {
        if (this.#underWay.get(nodeId) === written) this.#underWay.delete(nodeId);
      }
    });
    for (const nodeId of nodes) this.#underWay.set(nodeId, written);
    written.catch((error: unknown) => this.#options.log.error('down nodes not written', { error }));
  }

  /**
   * Writes by `work` that the node is here. A loss that is on its way to the store comes first, however late it is: the
   * node must not be heard meanwhile, since fences count its silence from before the loss.
   */
  async writeArrival(nodeId: NodeId, work: () => Promise<unknown>): Promise<void> {
    do {
      await this.#underWay.get(nodeId);
      await work();
    } while (this.#underWay.has(nodeId));
  }

  async #write(nodes: readonly NodeId[], leadership: number): Promise<void> {
    const { store, clock, log } = this.#options;
    while (leadership === this.#leadership) {
      try {
        await store.update((draft) => recordLost(draft, nodes, store.now()), { asLeader: true });
        return;
      } catch (error) {
        log.warn('down nodes not written yet', { error: errorMessage(error) });
        await new Promise<void>((resolve) => clock.after(RETRY_MS, resolve));
      }
    }
  }
}
