import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  createCertificateRequest,
  createRoot,
  identityOf,
  issueNodeCertificate,
  type RootAuthority,
} from '../ca/index.ts';
import { type Clock, silentLogger, systemClock, systemRandom } from '../io/index.ts';
import type { ClusterId, NodeId, NodeRole } from '../model/index.ts';
import { Credentials, type Identity, managerTls } from './credentials.ts';
import { EMPTY_FRAME, RAFT_PROTOCOL } from './raft-frames.ts';
import { RaftTransport } from './raft-stream.ts';
import { RpcServer } from './server.ts';

const CLUSTER = 'c'.repeat(25) as ClusterId;
const NODE = 'm'.repeat(25) as NodeId;
const PING_MS = 1_000;

let root: RootAuthority;
let manager: Identity;

async function identity(
  authority: RootAuthority,
  role: NodeRole,
  clusterId = CLUSTER,
): Promise<Identity> {
  const { csrPem, keyPem } = await createCertificateRequest();
  const certificatePem = await issueNodeCertificate({
    root: authority,
    csrPem,
    nodeId: NODE,
    role,
    clusterId,
    now: Date.now(),
  });
  return identityOf({ certificatePem, keyPem, rootPem: authority.certificatePem });
}

beforeAll(async () => {
  root = await createRoot({ clusterId: CLUSTER, now: Date.now() });
  manager = await identity(root, 'manager');
});

const open: { close(): void }[] = [];
afterEach(() => {
  for (const thing of open.splice(0).reverse()) thing.close();
});

function transport(clock: Clock = systemClock): {
  readonly transport: RaftTransport;
  readonly lost: number[];
  readonly received: string[];
} {
  const [lost, received]: [number[], string[]] = [[], []];
  const made = new RaftTransport({
    credentials: new Credentials(manager),
    raftId: 1,
    clock,
    random: systemRandom,
    log: silentLogger,
  });
  made.listen({
    receive: (from, payload) => received.push(`${from} ${Buffer.from(payload).toString()}`),
    receiveSnapshot: async () => undefined,
    unreachable: (raftId) => lost.push(raftId),
    nodeOf: () => undefined,
  });
  open.push(made);
  return { transport: made, lost, received };
}

/** A manager that takes connections and says nothing by itself. */
async function mute(
  onConnection: (socket: TLSSocket) => void = (): void => undefined,
): Promise<{ readonly address: string; readonly accepted: TLSSocket[] }> {
  const accepted: TLSSocket[] = [];
  const { rootPem, certificatePem, keyPem } = manager;
  const server = createServer({
    ca: rootPem,
    cert: certificatePem,
    key: keyPem,
    ALPNProtocols: [RAFT_PROTOCOL],
  });
  server.on('secureConnection', (socket) => {
    socket.on('error', () => undefined);
    accepted.push(socket);
    onConnection(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  open.push({
    close: () => {
      server.close();
      for (const socket of accepted) socket.destroy();
    },
  });
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, accepted };
}

/** A clock whose seconds pass when the test says so: they are the time between two pings. */
class PingClock implements Clock {
  #due: (() => void)[] = [];
  /** Of the timers that are not pings. */
  readonly delaysMs: number[] = [];
  readonly now = systemClock.now;
  readonly monotonicMs = systemClock.monotonicMs;

  after(delayMs: number, action: () => void): ReturnType<Clock['after']> {
    if (delayMs !== PING_MS) {
      this.delaysMs.push(delayMs);
      return systemClock.after(delayMs, action);
    }
    const mine = (): void => action();
    this.#due.push(mine);
    const cancel = (): void => {
      this.#due = this.#due.filter((each) => each !== mine);
    };
    return { cancel, [Symbol.dispose]: cancel };
  }

  second(): void {
    for (const action of this.#due.splice(0)) action();
  }
}

/** Connected, and what was sent first has arrived. */
async function connected(
  own: RaftTransport,
  peer: { readonly address: string; readonly accepted: readonly TLSSocket[] },
): Promise<TLSSocket> {
  own.send({ raftId: 2, address: peer.address }, Buffer.from('hello'));
  await vi.waitFor(() => expect(peer.accepted).toHaveLength(1), 20_000);
  const socket = peer.accepted[0] as TLSSocket;
  await once(socket, 'data');
  return socket;
}

describe('raft link', () => {
  it('gives up a peer that left three pings without an answer', async () => {
    const clock = new PingClock();
    const { transport: own, lost } = transport(clock);
    await connected(own, await mute());
    for (let ping = 0; ping < 3; ping += 1) clock.second();
    expect(lost).toEqual([]);
    clock.second();
    await vi.waitFor(() => expect(lost).toEqual([2]), 20_000);
  });

  it('keeps a peer that answers', async () => {
    const clock = new PingClock();
    const { transport: own, lost } = transport(clock);
    const socket = await connected(own, await mute());
    for (let ping = 0; ping < 20; ping += 1) {
      clock.second();
      await once(socket, 'data');
      await new Promise<void>((resolve) => socket.write(EMPTY_FRAME, () => resolve()));
    }
    expect(lost).toEqual([]);
  });

  it('waits longer and longer for a peer that refuses it after the handshake', async () => {
    const clock = new PingClock();
    const { transport: own } = transport(clock);
    const peer = await mute((socket) => socket.destroy());
    await vi.waitFor(() => {
      own.send({ raftId: 2, address: peer.address }, Buffer.from('hello'));
      // The first wait is 50 ms, half as much more at most.
      expect(Math.max(...clock.delaysMs)).toBeGreaterThan(75);
    }, 20_000);
  });

  it('holds a bounded amount for a peer that does not read', async () => {
    const { transport: own, lost } = transport();
    const peer = await mute();
    const socket = await connected(own, peer);
    socket.pause();
    const payload = Buffer.alloc(1024 * 1024);
    for (let sent = 0; sent < 100; sent += 1)
      own.send({ raftId: 2, address: peer.address }, payload);
    expect(lost).toEqual([2]);
  });

  it('ends with the membership of the peer', async () => {
    const { transport: own, lost } = transport();
    const socket = await connected(own, await mute());
    own.forget(2);
    await once(socket, 'close');
    expect(lost).toEqual([]);
  });
});

describe('raft connections', () => {
  async function receiver(
    refuse?: () => string | undefined,
  ): Promise<{ readonly port: number; readonly received: string[] }> {
    const { transport: own, received } = transport();
    const server = new RpcServer({
      credentials: new Credentials(manager),
      log: silentLogger,
      refuse,
    });
    open.push(server);
    server.add(own.service());
    server.addProtocol(own.protocol());
    return { port: await server.listen('127.0.0.1:0'), received };
  }

  async function dial(
    port: number,
    own: Partial<Identity>,
    protocol = RAFT_PROTOCOL,
  ): Promise<void> {
    const { cert, key, ca } = { ...managerTls(manager), ...certificate(own) };
    const socket = connect({
      port,
      ca,
      cert,
      key,
      servername: 'swarm-manager',
      ALPNProtocols: [protocol],
    });
    open.push({ close: () => socket.destroy() });
    socket.on('error', () => undefined);
    socket.write(Buffer.from([8, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0x68, 0x69]));
    await new Promise<void>((resolve) => socket.once('close', () => resolve()));
  }

  function certificate({ certificatePem, keyPem }: Partial<Identity>): {
    readonly cert: string | undefined;
    readonly key: string | undefined;
  } {
    return { cert: certificatePem, key: keyPem };
  }

  it('are refused to workers, to strangers, without a certificate, and to removed managers', async () => {
    const { port, received } = await receiver();
    await dial(port, await identity(root, 'worker'));
    await dial(port, await identity(root, 'manager', 'd'.repeat(25) as ClusterId));
    const foreign = await createRoot({ clusterId: CLUSTER, now: Date.now() });
    await dial(port, await identity(foreign, 'manager'));
    await dial(port, {});
    await dial(port, manager, 'something-else');
    const removed = await receiver(() => 'node was removed');
    await dial(removed.port, manager);
    expect([...received, ...removed.received]).toEqual([]);
  });

  it('take what a manager of the cluster says', async () => {
    const { port, received } = await receiver();
    void dial(port, manager);
    await vi.waitFor(() => expect(received).toEqual(['7 hi']), 20_000);
  });
});
