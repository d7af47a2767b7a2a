import type { Transport } from '../../../pkg/store/index.ts';
import type { World } from './world.ts';

type Receiver = Parameters<Transport['listen']>[0];

/** How the network behaves; drawn per seed. */
export interface NetworkManners {
  readonly delayMs: number;
  readonly lossChance: number;
  /** A message takes a way of its own: late, or twice. */
  readonly strayChance: number;
  readonly strayMs: number;
}

/** Messages between members in virtual time: in order on each path, but some are lost, late or doubled. */
export class SimNetwork {
  readonly #world: World;
  readonly #manners: NetworkManners;
  readonly #receivers = new Map<number, Receiver>();
  readonly #arrivesAt = new Map<string, number>();
  readonly #cut = new Set<string>();

  readonly #addressOf: (raftId: number) => string;

  constructor(world: World, manners: NetworkManners, addressOf: (raftId: number) => string) {
    this.#addressOf = addressOf;
    this.#world = world;
    this.#manners = manners;
  }

  transport(self: number): Transport {
    return {
      send: (to, payload): void => {
        if (to.address === this.#addressOf(to.raftId)) this.#send(self, to.raftId, payload);
        else this.#lost(self, to.raftId);
      },
      sendSnapshot: async (to, chunks): Promise<void> => {
        await this.#world.pause(this.#manners.delayMs * 10);
        if (to.address !== this.#addressOf(to.raftId)) throw new Error('nobody is there');
        const receiver = this.#reached(self, to.raftId);
        if (receiver === undefined) throw new Error('the path is cut');
        await receiver.receiveSnapshot(self, this.#passing(self, to.raftId, chunks));
      },
      listen: (receiver): Disposable => {
        this.#receivers.set(self, receiver);
        return {
          [Symbol.dispose]: (): void => {
            if (this.#receivers.get(self) === receiver) this.#receivers.delete(self);
          },
        };
      },
    };
  }

  /** One direction. */
  cut(from: number, to: number): void {
    this.#cut.add(`${from}>${to}`);
  }

  heal(): void {
    this.#cut.clear();
  }

  /** Its process is gone: connections to it break. */
  gone(self: number): void {
    this.#receivers.delete(self);
    for (const [other, receiver] of this.#receivers) {
      if (other !== self)
        this.#world.after(this.#manners.delayMs, () => receiver.unreachable(self));
    }
  }

  #send(from: number, to: number, payload: Uint8Array): void {
    const { random, now } = this.#world;
    const { delayMs, lossChance, strayChance, strayMs } = this.#manners;
    const path = `${from}>${to}`;
    if (random.chance(lossChance)) {
      this.#lost(from, to);
      return;
    }
    if (random.chance(strayChance)) {
      this.#world.after(random.between(0, strayMs), () => void this.#deliver(from, to, payload));
      if (random.chance(0.5)) return;
    }
    const at = Math.max(this.#arrivesAt.get(path) ?? 0, now + random.between(0.2, delayMs));
    this.#arrivesAt.set(path, at);
    this.#world.after(at - now, () => {
      if (!this.#deliver(from, to, payload)) this.#receivers.get(from)?.unreachable(to);
    });
  }

  #lost(from: number, to: number): void {
    this.#world.after(this.#manners.delayMs, () => this.#receivers.get(from)?.unreachable(to));
  }

  async *#passing(
    from: number,
    to: number,
    chunks: AsyncIterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      if (this.#reached(from, to) === undefined) throw new Error('the path is cut');
      yield chunk;
    }
  }

  #deliver(from: number, to: number, payload: Uint8Array): boolean {
    const receiver = this.#reached(from, to);
    receiver?.receive(from, payload);
    return receiver !== undefined;
  }

  #reached(from: number, to: number): Receiver | undefined {
    return this.#cut.has(`${from}>${to}`) ? undefined : this.#receivers.get(to);
  }
}
