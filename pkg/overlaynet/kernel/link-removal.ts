import { changeLink, deleteLinkGroup, hasCode, type NetlinkSocket } from 'vxlan-netlink';

/** Group of the links that are being taken away; links are born in group 0. */
const LEAVING = 0x6d757374;

/**
 * Takes links of one namespace away without keeping the caller from other work: who deletes a link sleeps until no
 * processor can be using it any more, 13 to 33 ms on the kernel measured, and holds no lock meanwhile. Those that are
 * named while others go, go together afterwards.
 */
export class LinkRemoval {
  readonly #open: () => NetlinkSocket;
  /** By index. */
  readonly #leaving = new Set<number>();
  #gone = new Set<number>();
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  /** @param open a socket of the namespace */
  constructor(open: () => NetlinkSocket) {
    this.#open = open;
  }

  /** Those that are gone already are fine. Resolves when they are. @throws SyscallError, and so does the promise */
  begin(names: readonly string[]): Promise<void> {
    const socket = this.#open();
    try {
      for (const name of names) this.#mark(socket, name);
    } catch (error) {
      socket[Symbol.dispose]();
      throw error;
    }
    if (this.#next === undefined && this.#leaving.size > 0) {
      // Its socket keeps the namespace until then.
      this.#next = this.#running.then(() => this.#removeMarked(socket));
      this.#running = this.#next.catch(() => undefined);
    } else {
      socket[Symbol.dispose]();
    }
    return this.#next ?? Promise.resolve();
  }

  isLeaving(link: number): boolean {
    return this.#leaving.has(link);
  }

  /** Whether news of this link may be of its removal. */
  mayTellOf(link: number): boolean {
    return this.#leaving.has(link) || this.#gone.has(link);
  }

  /** All news of links that were gone by now have been read. */
  newsRead(): void {
    if (this.#gone.size > 0) this.#gone = new Set();
  }

  #mark(socket: NetlinkSocket, name: string): void {
    try {
      const link = socket.linkIndex(name);
      // A bridge tells what becomes of it without the port: now, while nobody listens.
      socket.request(changeLink(link, { group: LEAVING, master: 0 }));
      this.#leaving.add(link);
    } catch (error) {
      if (!hasCode(error, 'ENODEV')) throw error;
    }
  }

  async #removeMarked(opened: NetlinkSocket): Promise<void> {
    using socket = opened;
    this.#next = undefined;
    const marked = [...this.#leaving];
    try {
      await socket.requestOnPool(deleteLinkGroup(LEAVING));
    } catch (error) {
      // Went with their other ends, or together with those before.
      if (!hasCode(error, 'ENODEV')) throw error;
    } finally {
      for (const link of marked) {
        this.#leaving.delete(link);
        this.#gone.add(link);
      }
    }
  }
}
