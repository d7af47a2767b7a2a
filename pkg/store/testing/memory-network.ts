import type { PeerAddress, Transport, TransportReceiver } from '../transport.ts';

/** Transports of several members in one process. Delivery is asynchronous and in order; links can be cut. */
export class MemoryNetwork {
  readonly #receivers = new Map<number, TransportReceiver>();
  readonly #cut = new Set<number>();
  /** How often each was killed: what an earlier life still sends is lost. */
  readonly #lives = new Map<number, number>();
  readonly #aliases = new Map<number, number>();
  readonly #addresses = new Map<number, string>();
  /** Snapshots on their way; called when one of its ends is gone. */
  readonly #transfers = new Set<(gone: number) => void>();
  /** Asked for every payload; false loses it. */
  filter: (from: number, to: number) => boolean = () => true;
  sent = 0;

  transport(self: number): Transport {
    const life = this.#lives.get(self);
    const isDead = (): boolean => this.#lives.get(self) !== life;
    return {
      send: (to, payload): void => {
        this.sent++;
        setImmediate(() => {
          if (isDead()) return;
          if (!this.#deliver(self, to, payload)) this.#receivers.get(self)?.unreachable(to.raftId);
        });
      },
      sendSnapshot: async (to, chunks): Promise<void> => {
        const receiver = isDead() ? undefined : this.#receiverOf(self, to);
        if (receiver === undefined) throw new Error(`${to.address} is unreachable`);
        await this.#unlessBroken([self, to.raftId], (broken) =>
          receiver.receiveSnapshot(self, this.#passing(self, to, chunks, broken)),
        );
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
    for (const lost of this.#transfers) lost(raftId);
  }

  /** Its process is gone: it hears and says nothing until another `transport` of it listens and it is healed. */
  kill(raftId: number): void {
    this.isolate(raftId);
    this.#receivers.delete(raftId);
    this.#lives.set(raftId, (this.#lives.get(raftId) ?? 0) + 1);
  }

  heal(raftId: number): void {
    this.#cut.delete(raftId);
  }

  /** Who dials `former` now reaches `raftId`, as behind an unchanged address. */
  alias(former: number, raftId: number): void {
    this.#aliases.set(former, raftId);
  }

  /** Who was killed says nothing any more; a real connection notices, and breaks at its other end. */
  async #unlessBroken(
    ends: readonly number[],
    transfer: (broken: Promise<never>) => Promise<void>,
  ): Promise<void> {
    let lost: (gone: number) => void = () => undefined;
    const broken = new Promise<never>((_, reject) => {
      lost = (gone): void => {
        if (ends.includes(gone)) reject(new Error(`member ${gone} is unreachable`));
      };
    });
    this.#transfers.add(lost);
    try {
      await Promise.race([transfer(broken), broken]);
    } finally {
      this.#transfers.delete(lost);
    }
  }

  async *#passing(
    from: number,
    to: PeerAddress,
    chunks: AsyncIterable<Uint8Array>,
    broken: Promise<never>,
  ): AsyncGenerator<Uint8Array> {
    const iterator = chunks[Symbol.asyncIterator]();
    for (;;) {
      const next = await Promise.race([iterator.next(), broken]);
      if (next.done) return;
      await new Promise<void>((resolve) => setImmediate(resolve));
      if (this.#receiverOf(from, to) === undefined) throw new Error(`${to.address} is unreachable`);
      yield next.value;
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
