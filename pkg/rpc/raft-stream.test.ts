import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  createCertificateRequest,
  createRoot,
  identityOf,
  issueNodeCertificate,
} from '../ca/index.ts';
import { silentLogger, systemClock, systemRandom } from '../io/index.ts';
import { ClusterError, type NodeId } from '../model/index.ts';
import type { Transport } from '../store/index.ts';
import { Credentials, type Identity } from './credentials.ts';
import { type RaftReceiver, RaftTransport } from './raft-stream.ts';
import { RpcServer } from './server.ts';

let identity: Identity;
beforeAll(async () => {
  const clusterId = 'c'.repeat(25);
  const root = await createRoot({ clusterId, now: Date.now() });
  const { csrPem, keyPem } = await createCertificateRequest();
  const certificatePem = await issueNodeCertificate({
    root,
    csrPem,
    nodeId: 'm'.repeat(25),
    role: 'manager',
    clusterId,
    now: Date.now(),
  });
  identity = identityOf({ certificatePem, keyPem, rootPem: root.certificatePem });
});

/** Waits as long as a busy machine may need. */
async function eventually(check: () => void): Promise<void> {
  await vi.waitFor(check, 20_000);
}

const open: { close(): void }[] = [];
afterEach(() => {
  for (const thing of open.splice(0).reverse()) thing.close();
});

class Received implements RaftReceiver {
  readonly messages: [number, string][] = [];
  readonly sizes: number[] = [];
  readonly lost: number[] = [];
  readonly owners = new Map<number, NodeId>();
  /** Chunks of a snapshot are not taken before. */
  ready: Promise<void> = Promise.resolve();
  receive(from: number, payload: Uint8Array): void {
    this.sizes.push(payload.length);
    if (payload.length < 100) this.messages.push([from, Buffer.from(payload).toString()]);
  }
  async receiveSnapshot(from: number, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    for await (const chunk of chunks) {
      await this.ready;
      if (chunk.length === 0) throw new ClusterError('conflict', `not from ${from}`);
      this.sizes.push(chunk.length);
    }
  }
  unreachable(raftId: number): void {
    this.lost.push(raftId);
  }
  nodeOf(raftId: number): NodeId | undefined {
    return this.owners.get(raftId);
  }
}

function transport(raftId: number): RaftTransport {
  const made = new RaftTransport({
    credentials: new Credentials(identity),
    raftId,
    clock: systemClock,
    random: systemRandom,
    log: silentLogger,
  });
  open.push(made);
  return made;
}

async function replica(
  raftId: number,
  port = 0,
): Promise<{ transport: Transport; received: Received; address: string; server: RpcServer }> {
  const made = transport(raftId);
  const received = new Received();
  made.listen(received);
  const server = new RpcServer({ credentials: new Credentials(identity), log: silentLogger });
  open.push(server);
  server.add(made.service());
  server.addProtocol(made.protocol());
  const address = `127.0.0.1:${await server.listen(`127.0.0.1:${port}`)}`;
  return { transport: made, received, address, server };
}

describe('raft stream', () => {
  it('delivers messages in order with their sender', async () => {
    const [a, b] = [await replica(2 ** 53 - 1), await replica(2)];
    const to = { raftId: 2, address: b.address };
    for (let index = 0; index < 1000; index += 1) a.transport.send(to, Buffer.from(`${index}`));
    await eventually(() => expect(b.received.messages).toHaveLength(1000));
    expect(b.received.messages[0]).toEqual([2 ** 53 - 1, '0']);
    expect(b.received.messages.map(([, text]) => Number(text))).toEqual([...Array(1000).keys()]);
    b.transport.send({ raftId: 2 ** 53 - 1, address: a.address }, Buffer.from('back'));
    await eventually(() => expect(a.received.messages).toEqual([[2, 'back']]));
  });

  it('reports a peer that is away and reaches it when it is back', async () => {
    const [a, b] = [await replica(1), await replica(2)];
    const to = { raftId: 2, address: b.address };
    const port = Number(b.address.split(':')[1]);
    a.transport.send(to, Buffer.from('one'));
    await eventually(() => expect(b.received.messages).toHaveLength(1));
    b.server.close();
    await eventually(() => expect(a.received.lost).toContain(2));
    const again = await replica(2, port);
    await eventually(() => {
      a.transport.send(to, Buffer.from('two'));
      expect(again.received.messages.length).toBeGreaterThan(0);
    });
  });

  it('takes nothing for a member from the node of another one', async () => {
    const [a, b] = [await replica(1), await replica(2)];
    const to = { raftId: 2, address: b.address };
    b.received.owners.set(1, 'o'.repeat(25) as NodeId);
    await eventually(() => {
      a.transport.send(to, Buffer.from('forged'));
      expect(a.received.lost.length).toBeGreaterThan(0);
    });
    await expect(a.transport.sendSnapshot(to, chunksOf([new Uint8Array(10)]))).rejects.toThrow(
      'cannot speak for member 1',
    );
    expect(b.received.sizes).toEqual([]);
    b.received.owners.set(1, 'm'.repeat(25) as NodeId);
    await eventually(() => {
      a.transport.send(to, Buffer.from('own'));
      expect(b.received.messages.length).toBeGreaterThan(0);
    });
  });

  it('drops rather than blocks when the queue is full', async () => {
    const a = await replica(1);
    const to = { raftId: 2, address: '127.0.0.1:1' };
    const payload = new Uint8Array(1024 * 1024);
    for (let index = 0; index < 100; index += 1) a.transport.send(to, payload);
    expect(a.received.lost.length).toBeGreaterThan(0);
  });
});

describe('raft snapshots', () => {
  it('go aside, chunk by chunk, and it is said when they were taken', async () => {
    const [a, b] = [await replica(1), await replica(2)];
    const sizes = [100, 5 * 1024 * 1024, 7];
    await a.transport.sendSnapshot(
      { raftId: 2, address: b.address },
      chunksOf(sizes.map((size) => new Uint8Array(size).fill(7))),
    );
    expect(b.received.sizes).toEqual(sizes);
  });

  it('are read no faster than a slow peer takes them', async () => {
    const [a, b] = [await replica(1), await replica(2)];
    let goOn: () => void = () => undefined;
    b.received.ready = new Promise((resolve) => {
      goOn = resolve;
    });
    const count = 100;
    // What the kernel and the stream hold on the way.
    const between = 64;
    let read = 0;
    const many = async function* (): AsyncGenerator<Uint8Array> {
      for (; read < count; read++) yield new Uint8Array(1024 * 1024);
    };
    const sent = a.transport.sendSnapshot({ raftId: 2, address: b.address }, many());
    let before = -1;
    while (before !== read || read === 0) {
      before = read;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    expect(read).toBeLessThan(between);
    goOn();
    await sent;
    expect(b.received.sizes).toHaveLength(count);
  });

  it('are refused with the reason', async () => {
    const [a, b] = [await replica(1), await replica(2)];
    const sent = a.transport.sendSnapshot(
      { raftId: 2, address: b.address },
      chunksOf([new Uint8Array(9), new Uint8Array(0)]),
    );
    await expect(sent).rejects.toThrow('not from 1');
  });

  it('fail when they cannot be delivered, or not be read to their end', async () => {
    const a = await replica(1);
    const small = [new Uint8Array(9)];
    const nowhere = a.transport.sendSnapshot(
      { raftId: 2, address: '127.0.0.1:1' },
      chunksOf(small),
    );
    await expect(nowhere).rejects.toMatchObject({ kind: 'unavailable' });
    const deaf = transport(3);
    const server = new RpcServer({ credentials: new Credentials(identity), log: silentLogger });
    open.push(server);
    server.add(deaf.service());
    const address = `127.0.0.1:${await server.listen('127.0.0.1:0')}`;
    const unheard = a.transport.sendSnapshot({ raftId: 3, address }, chunksOf(small));
    await expect(unheard).rejects.toMatchObject({ kind: 'unavailable' });
    const b = await replica(2);
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(9);
      throw new Error('damaged');
    };
    const half = a.transport.sendSnapshot({ raftId: 2, address: b.address }, broken());
    await expect(half).rejects.toThrow('damaged');
  });
});

async function* chunksOf(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}
