import { connect, type TLSSocket } from 'node:tls';
import type { Clock, Logger, Random, Timer } from '../io/index.ts';
import { errorMessage, splitHostPort } from '../model/index.ts';
import { type Credentials, managerTls } from './credentials.ts';
import { EMPTY_FRAME, encodeSender, frameHead, RAFT_PROTOCOL } from './raft-frames.ts';

export interface RaftLinkOptions {
  readonly credentials: Credentials;
  /** Of the local replica. */
  readonly raftId: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

const QUEUE_BYTES_MAX = 64 * 1024 * 1024;
/** Bytes given to the socket beyond what the kernel took: what is queued here can still be dropped. */
const SOCKET_BYTES_MAX = 1024 * 1024;
const CONNECT_TIMEOUT_MS = 1_000;
const PING_MS = 1_000;
/** So many pings without any answer, and the other side is gone: long enough for a manager that is busy. */
const SILENT_PINGS_MAX = 3;
const BACKOFF_FIRST_MS = 50;
const BACKOFF_MAX_MS = 300;

/**
 * The queue to one peer and the connection that empties it. Dialled only while there is something to send, so a peer
 * that left the group is not dialled any more.
 */
export class RaftLink {
  readonly address: string;
  readonly #options: RaftLinkOptions;
  readonly #onLost: () => void;
  #state: 'idle' | 'connecting' | 'open' | 'waiting' | 'closed' = 'idle';
  #socket: TLSSocket | undefined;
  #timer: Timer | undefined;
  #backoffMs = BACKOFF_FIRST_MS;
  #silentPings = 0;
  #queue: Uint8Array[] = [];
  #bytes = 0;

  /** `onLost`: the connection broke or could not be made, or the queue was full; messages may be lost. */
  constructor(address: string, options: RaftLinkOptions, onLost: () => void) {
    this.address = address;
    this.#options = options;
    this.#onLost = onLost;
  }

  /** On an open connection with little before it, the message is with the kernel when this returns. */
  enqueue(payload: Uint8Array): void {
    if (this.#state === 'closed') return;
    if (this.#bytes + payload.length > QUEUE_BYTES_MAX) {
      this.#drop();
      return;
    }
    this.#queue.push(payload);
    this.#bytes += payload.length;
    if (this.#state === 'open') this.#flush();
    else if (this.#state === 'idle') this.#connect();
  }

  close(): void {
    this.#state = 'closed';
    this.#timer?.cancel();
    this.#socket?.destroy();
    this.#queue = [];
  }

  #connect(): void {
    const { credentials, clock } = this.#options;
    this.#state = 'connecting';
    let failure: unknown = 'closed by the other side';
    try {
      const socket = connect({
        ...splitHostPort(this.address),
        ...managerTls(credentials.identity),
        ALPNProtocols: [RAFT_PROTOCOL],
      });
      this.#socket = socket;
      socket.setNoDelay(true);
      socket.once('secureConnect', () => this.#opened(socket));
      socket.on('error', (error) => {
        failure = error;
      });
      socket.once('close', () => this.#lost(failure));
      this.#timer = clock.after(CONNECT_TIMEOUT_MS, () => {
        failure = `no connection within ${CONNECT_TIMEOUT_MS} ms`;
        socket.destroy();
      });
    } catch (error) {
      this.#lost(error);
    }
  }

  #opened(socket: TLSSocket): void {
    if (this.#state !== 'connecting') return;
    if (socket.alpnProtocol !== RAFT_PROTOCOL) {
      socket.destroy(new Error(`the other side does not speak ${RAFT_PROTOCOL}`));
      return;
    }
    this.#timer?.cancel();
    this.#state = 'open';
    this.#silentPings = 0;
    socket.on('data', () => {
      // Until now it may only have been about to refuse us: that shows after the handshake.
      this.#backoffMs = BACKOFF_FIRST_MS;
      this.#silentPings = 0;
    });
    socket.on('drain', () => this.#flush());
    this.#ping();
    writeFrame(socket, encodeSender(this.#options.raftId));
    socket.write(EMPTY_FRAME);
    this.#flush();
  }

  /** Pings are counted, not timed: a process that was stopped for a while must not blame its peers. */
  #ping(): void {
    this.#timer = this.#options.clock.after(PING_MS, () => {
      if (this.#silentPings++ >= SILENT_PINGS_MAX) {
        this.#socket?.destroy(new Error(`silent for ${SILENT_PINGS_MAX * PING_MS} ms`));
        return;
      }
      this.#socket?.write(EMPTY_FRAME);
      this.#ping();
    });
  }

  #flush(): void {
    const socket = this.#socket;
    if (socket === undefined || this.#queue.length === 0) return;
    let sent = 0;
    socket.cork();
    for (const payload of this.#queue) {
      if (socket.writableLength > SOCKET_BYTES_MAX) break;
      writeFrame(socket, payload);
      sent += 1;
      this.#bytes -= payload.length;
    }
    socket.uncork();
    this.#queue.splice(0, sent);
  }

  #lost(reason: unknown): void {
    if (this.#state === 'closed') return;
    const { clock, random, log } = this.#options;
    log.debug('raft peer lost', { address: this.address, error: errorMessage(reason) });
    this.#timer?.cancel();
    this.#socket = undefined;
    this.#state = 'waiting';
    this.#drop();
    this.#timer = clock.after(this.#backoffMs * (0.5 + random.float()), () => {
      this.#state = 'idle';
      if (this.#queue.length > 0) this.#connect();
    });
    this.#backoffMs = Math.min(this.#backoffMs * 2, BACKOFF_MAX_MS);
  }

  /** What could not be sent is stale by the time the peer is back; raft repeats what matters. */
  #drop(): void {
    this.#queue = [];
    this.#bytes = 0;
    this.#onLost();
  }
}

function writeFrame(socket: TLSSocket, payload: Uint8Array): void {
  socket.write(frameHead(payload));
  socket.write(payload);
}
