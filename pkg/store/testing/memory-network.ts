import type { PeerAddress, Transport, TransportReceiver } from '../transport.ts';

/** Transports of several members in one process. Delivery is asynchronous and in order; links can be cut. */
export class MemoryNetwork {
  readonly #receivers = new Map<number, TransportReceiver>();
  readonly #cut = new Set<number>();
  readonly #aliases = new Map<number, number>();
  readonly #addresses = new Map<number, string>();
  /** Asked for every payload; false loses it. */
  filter: (from: number, to: number) => boolean = () => true;
  sent = 0;

  transport(self: number): Transport {
    return {
      send: (to, payload): void => {
        this.sent++;
        setImmediate(() => {
          if (!this.#deliver(self, to, payload)) this.#receivers.get(self)?.unreachable(to.raftId);
        });
      },
      sendSnapshot: async (to, chunks): Promise<void> => {
        const receiver = this.#receiverOf(self, to);
        if (receiver === undefined) throw new Error(`${to.address} is unreachable`);
        await receiver.receiveSnapshot(self, this.#passing(self, to, chunks));
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

  /** From now on it is reached at this address only; before it is said so, at any. */
  listenAt(raftId: number, address: string): void {
    this.#addresses.set(raftId, address);
  }

  /** Nothing reaches or leaves it any more. */
  isolate(raftId: number): void {
    this.#cut.add(raftId);
  }

  heal(raftId: number): void {
    this.#cut.delete(raftId);
  }

  /** Who dials `former` now reaches `raftId`, as behind an unchanged address. */
  alias(former: number, raftId: number): void {
    this.#aliases.set(former, raftId);
  }

  async *#passing(
    from: number,
    to: PeerAddress,
    chunks: AsyncIterable<Uint8Array>,
  ): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (this.#receiverOf(from, to) === undefined) throw new Error(`${to.address} is unreachable`);
      yield chunk;
    }
  }

  #deliver(from: number, to: PeerAddress, payload: Uint8Array): boolean {
    const receiver = this.#receiverOf(from, to);
    receiver?.receive(from, payload);
    return receiver !== undefined;
  }

  #receiverOf(from: number, to: PeerAddress): TransportReceiver | undefined {
    const cut = this.#cut.has(from) || this.#cut.has(to.raftId) || !this.filter(from, to.raftId);
    const moved = (this.#addresses.get(to.raftId) ?? to.address) !== to.address;
    return cut || moved
      ? undefined
      : this.#receivers.get(this.#aliases.get(to.raftId) ?? to.raftId);
  }
}
