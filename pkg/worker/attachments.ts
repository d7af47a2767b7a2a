import type { ClusterNetworks } from '../engine/index.ts';
import type { Clock, Logger } from '../io/index.ts';
import {
  type AttachmentAnswer,
  type AttachmentWish,
  ClusterError,
  errorMessage,
  type NetworkId,
} from '../model/index.ts';

/** How long a container waits for a session with the leader, and for the tables of its network. */
const PATIENCE_MS = 10_000;
const RETRY_MS = 1_000;

type Granted = Exclude<AttachmentAnswer, { error: unknown }>;
type Claim = (wishes: readonly AttachmentWish[]) => Promise<readonly AttachmentAnswer[]>;

/**
 * Places of this host's standalone containers on the cluster's networks. What containers hold is named to the leader
 * as a whole, at every change and at the beginning of every session, so a lost message leaks nothing.
 */
export class Attachments implements ClusterNetworks {
  readonly #clock: Clock;
  readonly #log: Logger;
  /** By container, then by network as the user named it. */
  readonly #wishes = new Map<string, Map<string, AttachmentWish>>();
  readonly #granted = new Map<string, Granted>();
  readonly #listeners = new Set<() => void>();
  #joined = false;
  #claim: Claim | undefined;
  #holds: (id: NetworkId) => boolean = () => false;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: { readonly clock: Clock; readonly log: Logger }) {
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** This host is in a cluster, so a name it does not know may be a network of the cluster's. */
  get available(): boolean {
    return this.#joined;
  }

  /** The host joined a cluster, or left it. `holds`: the kernel has the tables of a network. */
  join(holds: (id: NetworkId) => boolean): void {
    this.#joined = true;
    this.#holds = holds;
  }

  leave(): void {
    this.#joined = false;
    this.#claim = undefined;
    this.#wishes.clear();
    this.#granted.clear();
  }

  /** A session with the leader began. */
  began(claim: Claim): void {
    this.#claim = claim;
    this.#changed();
    this.#settle();
  }

  ended(): void {
    this.#claim = undefined;
  }

  /** The kernel holds other tables now. */
  tablesApplied(): void {
    this.#changed();
  }

  keep(wish: AttachmentWish): void {
    this.#wish(wish);
  }

  async attach(wishes: readonly AttachmentWish[]): Promise<readonly Granted[]> {
    for (const wish of wishes) this.#wish(wish);
    try {
      await this.#untilSession(wishes[0]?.network ?? '');
      const answers = await this.#send();
      const own = wishes.map((wish) => granted(find(answers, wish)));
      const known = (): boolean => own.every(({ networkId }) => this.#holds(networkId));
      await this.#until(
        known,
        () => new ClusterError('unavailable', 'the network did not reach this node in time'),
      );
      return own;
    } catch (error) {
      for (const { containerId, network } of wishes) this.release(containerId, network);
      throw error;
    }
  }

  release(containerId: string, network?: string): void {
    const wishes = this.#wishes.get(containerId);
    if (!wishes) return;
    if (network === undefined) wishes.clear();
    else wishes.delete(network);
    if (wishes.size === 0) this.#wishes.delete(containerId);
    this.#settle();
  }

  networkIdOf(containerId: string, network: string): NetworkId | undefined {
    return this.#granted.get(keyOf({ containerId, network }))?.networkId;
  }

  #wish(wish: AttachmentWish): void {
    const wishes = this.#wishes.get(wish.containerId) ?? new Map<string, AttachmentWish>();
    this.#wishes.set(wish.containerId, wishes.set(wish.network, wish));
  }

  /** Tells the leader what is wanted now, in the background; tried again while the session lasts. */
  #settle(): void {
    const claim = this.#claim;
    if (!claim) return;
    this.#send().catch((error: unknown) => {
      this.#log.warn('attachments not settled yet', { error: errorMessage(error) });
      this.#clock.after(RETRY_MS, () => {
        if (this.#claim === claim) this.#settle();
      });
    });
  }

  /** One after the other: the newest set is always the last that the leader sees. */
  #send(): Promise<readonly AttachmentAnswer[]> {
    const result = this.#queue.then(async () => {
      if (!this.#claim) {
        throw new ClusterError('unavailable', 'no manager of the cluster answers');
      }
      const wishes = [...this.#wishes.values()].flatMap((each) => [...each.values()]);
      const answers = await this.#claim(wishes);
      this.#granted.clear();
      for (const answer of answers) {
        if (!('error' in answer)) this.#granted.set(keyOf(answer), answer);
      }
      return answers;
    });
    this.#queue = result.catch(() => undefined);
    return result;
  }

  async #untilSession(network: string): Promise<void> {
    await this.#until(
      () => this.#claim !== undefined,
      () =>
        this.#joined
          ? new ClusterError('unavailable', 'no manager of the cluster answers')
          : new ClusterError('not-found', `network ${network} not found`),
    );
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  async #until(condition: () => boolean, complaint: () => ClusterError): Promise<void> {
    if (condition()) return;
    await new Promise<void>((resolve, reject) => {
      const timer = this.#clock.after(PATIENCE_MS, () => {
        this.#listeners.delete(listener);
        reject(complaint());
      });
      const listener = (): void => {
        if (!condition()) return;
        this.#listeners.delete(listener);
        timer.cancel();
        resolve();
      };
      this.#listeners.add(listener);
    });
  }
}

function keyOf({ containerId, network }: { containerId: string; network: string }): string {
  return `${containerId} ${network}`;
}

function find(
  answers: readonly AttachmentAnswer[],
  wish: AttachmentWish,
): AttachmentAnswer | undefined {
  return answers.find((answer) => keyOf(answer) === keyOf(wish));
}

function granted(answer: AttachmentAnswer | undefined): Granted {
  if (!answer) throw new ClusterError('unavailable', 'the container was stopped meanwhile');
  if ('error' in answer) throw new ClusterError(answer.error.kind, answer.error.text);
  return answer;
}
