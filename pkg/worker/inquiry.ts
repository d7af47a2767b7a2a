import type { Clock } from '../io/index.ts';
import type { Connections } from './connections.ts';

export interface InquiryOptions {
  readonly clock: Clock;
  readonly connections: Connections;
  /** host:port of managers to ask. */
  readonly managers: () => readonly string[];
}

/** A manager that does not know who leads answers within two seconds. */
const ANSWER_MS = 2_500;

/**
 * Asks the other managers who leads, while the session with the one that did is silent: a host that lost its power closes
 * no connection, and the next leader counts how long it has not heard this node.
 */
export class Inquiry implements Disposable {
  readonly #options: InquiryOptions;
  readonly #present: string;
  readonly #onOther: (leader: string) => void;
  #asking = false;
  #over = false;

  /** `onOther`: another manager than `present` leads. */
  constructor(options: InquiryOptions, present: string, onOther: (leader: string) => void) {
    this.#options = options;
    this.#present = present;
    this.#onOther = onOther;
  }

  /** Does nothing while the last question is not answered. */
  ask(): void {
    if (this.#asking) return;
    this.#asking = true;
    void this.#askAll().finally(() => {
      this.#asking = false;
    });
  }

  [Symbol.dispose](): void {
    this.#over = true;
  }

  async #askAll(): Promise<void> {
    const { connections, managers } = this.#options;
    for (const address of connections.inOrder(managers())) {
      if (address === this.#present) continue;
      const leader = await this.#askOne(address).catch(() => '');
      if (this.#over) return;
      if (leader === '') continue;
      if (leader !== this.#present) this.#onOther(leader);
      return;
    }
  }

  /** Empty when that manager knows none either. */
  async #askOne(address: string): Promise<string> {
    const { connections, clock } = this.#options;
    const link = await connections.reach(address);
    const session = link.openSession();
    using _limit = clock.after(ANSWER_MS, () => session.cancel());
    session.send({ kind: 'find-leader' });
    try {
      for await (const message of session) {
        if (message.kind === 'redirect') return message.leader;
      }
      return '';
    } finally {
      session.cancel();
      if (this.#over) link.close();
      else connections.keep(address, link);
    }
  }
}
