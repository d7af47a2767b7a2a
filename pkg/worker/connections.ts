import type { Clock } from '../io/index.ts';
import { ClusterError } from '../model/index.ts';
import type { ManagerLink } from './manager-link.ts';

export interface ConnectionsOptions {
  /** Begins a connection to the manager at host:port. */
  readonly connect: (address: string) => ManagerLink;
  readonly clock: Clock;
}

/** So long the search waits at one manager before it looks elsewhere. */
const CONNECT_MS = 1_000;
/** The manager gives up a connection that has not shown its certificate by then. */
const UNDER_WAY_MAX_MS = 10_000;

/**
 * Connections of an agent that looks for the leader. One that is not there at once is not given up: a manager that all
 * agents come to at the same moment takes one after the other, and whoever begins anew waits behind all of them and has
 * made the queue longer. The search goes on elsewhere and finds it further on when it comes back.
 */
export class Connections {
  readonly #options: ConnectionsOptions;
  readonly #underWay = new Map<string, { readonly link: ManagerLink; readonly since: number }>();
  /** Managers that did not answer when they were tried last. */
  readonly #silent = new Set<string>();

  constructor(options: ConnectionsOptions) {
    this.#options = options;
  }

  /** Those that answered last, or were not tried yet, first. */
  inOrder(addresses: readonly string[]): readonly string[] {
    const answers = (address: string): boolean => !this.#silent.has(address);
    return [...addresses.filter(answers), ...addresses.filter((one) => !answers(one))];
  }

  /** A connection that the caller closes. Throws `deadline` when it is still under way after a second, `unavailable` when it failed. */
  async reach(address: string): Promise<ManagerLink> {
    const { connect, clock } = this.#options;
    const now = clock.monotonicMs();
    const { link, since } = this.#underWay.get(address) ?? { link: connect(address), since: now };
    this.#underWay.set(address, { link, since });
    try {
      await link.ready(CONNECT_MS);
      this.#silent.delete(address);
      this.#underWay.delete(address);
      return link;
    } catch (error) {
      this.#silent.add(address);
      const slow = error instanceof ClusterError && error.kind === 'deadline';
      if (!slow || clock.monotonicMs() - since > UNDER_WAY_MAX_MS) this.#close(address);
      throw error;
    }
  }

  /** A connection that somebody may want in a moment. */
  keep(address: string, link: ManagerLink): void {
    this.#close(address);
    this.#underWay.set(address, { link, since: this.#options.clock.monotonicMs() });
  }

  /** The manager said nothing any more, or ended without a word. */
  lost(address: string): void {
    this.#silent.add(address);
  }

  /** Gives up what is under way and what was kept: a leader was found, or is not looked for any more. */
  close(): void {
    for (const address of [...this.#underWay.keys()]) this.#close(address);
  }

  #close(address: string): void {
    this.#underWay.get(address)?.link.close();
    this.#underWay.delete(address);
  }
}
