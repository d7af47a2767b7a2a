/** One member of a group of stores, in a process of its own; told what to do over the process channel. */

import { silentLogger, systemClock, systemRandom } from '../../pkg/io/index.ts';
import {
  type ClusterId,
  type Config,
  type ConfigId,
  createObject,
  type InstantMs,
  type NodeId,
  VERSION_NONE,
} from '../../pkg/model/index.ts';
import { Credentials, type Identity, RaftTransport, RpcServer } from '../../pkg/rpc/index.ts';
import { createStore, type Member, type Store } from '../../pkg/store/index.ts';
import { measureRate, type Rate } from './measure.ts';

export type MemberOrder =
  | {
      readonly order: 'start';
      readonly identity: Identity;
      readonly raftId: number;
      readonly directory: string;
      readonly address: string;
      /** Empty for the first. */
      readonly members: readonly Member[];
    }
  | { readonly order: 'add'; readonly member: Member }
  | { readonly order: 'write' | 'read'; readonly inFlight: number; readonly ms: number }
  | { readonly order: 'fill'; readonly bytes: number }
  | { readonly order: 'cpu' | 'state' };

export interface MemberState {
  /** Applied. */
  readonly index: number;
  /** Largest resident size so far. */
  readonly rssBytes: number;
}

export type MemberAnswer =
  | { readonly answer: 'done' }
  | { readonly answer: 'rate'; readonly rate: Rate }
  /** Microseconds of processor time so far. */
  | { readonly answer: 'cpu'; readonly us: number }
  | ({ readonly answer: 'state' } & MemberState)
  | { readonly answer: 'failed'; readonly text: string };

const DATA = 'x'.repeat(256);
const LARGE = 'x'.repeat(100_000);
let store: Store | undefined;
let written = 0;

async function start(order: MemberOrder & { readonly order: 'start' }): Promise<void> {
  const { identity, raftId, directory, address, members } = order;
  const log = silentLogger;
  const credentials = new Credentials(identity);
  const transport = new RaftTransport({
    credentials,
    raftId,
    clock: systemClock,
    random: systemRandom,
    log,
  });
  const server = new RpcServer({ credentials, log });
  server.add(transport.service());
  server.addProtocol(transport.protocol());
  await server.listen(address);
  store = createStore({
    directory,
    clusterId: identity.clusterId as ClusterId,
    self: { raftId, nodeId: identity.nodeId as NodeId, address },
    begin: members.length === 0 ? { kind: 'bootstrap' } : { kind: 'join', members },
    transport,
    clock: systemClock,
    random: systemRandom,
    logger: log,
    onFatal: (error): void => {
      throw error;
    },
  });
  await store.start();
  if (members.length > 0) return;
  const first = store;
  await new Promise<void>((resolve) => {
    const listener = first.onLeadership((leading) => {
      if (!leading) return;
      setImmediate(() => listener[Symbol.dispose]());
      resolve();
    });
  });
}

/** Adds it, and waits until it votes: only then does it count for a quorum. */
async function add(member: Member): Promise<void> {
  const leader = running();
  await leader.addMember(member);
  const votes = (): boolean =>
    leader.members().some((each) => each.raftId === member.raftId && each.role === 'voter');
  while (!votes()) await new Promise((resolve) => setTimeout(resolve, 20));
}

function running(): Store {
  if (store === undefined) throw new Error('not started');
  return store;
}

async function fill(leader: Store, bytes: number): Promise<void> {
  for (let left = bytes; left > 0; left -= LARGE.length) await write(leader, LARGE);
}

function write(leader: Store, data = DATA): Promise<unknown> {
  const name = `c${written++}`;
  const at = leader.now();
  const config: Config = {
    id: `id-${name}` as ConfigId,
    version: VERSION_NONE,
    createdAt: at as InstantMs,
    updatedAt: at as InstantMs,
    spec: { Name: name, Data: data },
  };
  return leader.propose([createObject('config', config)]);
}

/** Linearizable: what was acknowledged before the call is seen. */
async function read(member: Store): Promise<void> {
  const view = await member.barrier();
  if (view.get('config', 'id-c0' as ConfigId) === undefined) throw new Error('c0 is missing');
}

async function obey(order: MemberOrder): Promise<MemberAnswer> {
  switch (order.order) {
    case 'start':
      await start(order);
      return { answer: 'done' };
    case 'add':
      await add(order.member);
      return { answer: 'done' };
    case 'fill':
      await fill(running(), order.bytes);
      return { answer: 'done' };
    case 'state': {
      const rssBytes = process.resourceUsage().maxRSS * 1024;
      return { answer: 'state', index: running().view.index, rssBytes };
    }
    case 'cpu': {
      const { user, system } = process.cpuUsage();
      return { answer: 'cpu', us: user + system };
    }
    case 'write': {
      const leader = running();
      const rate = await measureRate(order.inFlight, order.ms, () => write(leader));
      return { answer: 'rate', rate };
    }
    case 'read': {
      const member = running();
      const rate = await measureRate(order.inFlight, order.ms, () => read(member));
      return { answer: 'rate', rate };
    }
  }
}

process.on('message', (order: MemberOrder) => {
  obey(order).then(
    (answer) => process.send?.(answer),
    (error: unknown) => process.send?.({ answer: 'failed', text: String(error) }),
  );
});
process.on('disconnect', () => process.exit(0));
