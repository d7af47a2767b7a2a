import { join } from 'node:path';
import { readJson, writeFileAtomic } from '../../pkg/io/index.ts';
import {
  type Availability,
  type Cluster,
  ClusterError,
  type NodeId,
} from '../../pkg/model/index.ts';
import { type Credentials, type GroupMember, joinGroup, RpcClient } from '../../pkg/rpc/index.ts';

/**
 * How a manager's life begins: written by the agent before it starts the manager for the first time, completed by the
 * manager. Everything in it is read again after a crash, so each step can be repeated.
 */
export interface Begin {
  /** Raft id of this manager's directory; a new directory gets a new one. */
  readonly raftId: number;
  /** host:port that other managers and agents dial. */
  readonly advertise: string;
  /** host:port to listen on. */
  readonly listen: string;
  /** host:port where other managers may be now, whatever the log says. */
  readonly managers?: readonly string[] | undefined;
  readonly how:
    | {
        readonly kind: 'bootstrap';
        readonly cluster: Pick<
          Cluster,
          | 'spec'
          | 'ca'
          | 'unlockKey'
          | 'joinTokens'
          | 'addressPools'
          | 'subnetSize'
          | 'dataPathPort'
        >;
        readonly availability: Availability;
      }
    | {
        readonly kind: 'join';
        /** Managers to ask. */
        readonly remotes: readonly string[];
        /** Known once the group has taken this manager in. */
        readonly members?: readonly GroupMember[] | undefined;
      }
    | {
        /** The rest of the group is given up: go on alone with what the log of that raft id holds. */
        readonly kind: 'alone';
        readonly former: number;
      }
    /** Everything needed is in the log. */
    | { readonly kind: 'member' };
}

const JOIN_ATTEMPTS = 40;

export function beginFile(dataDir: string): string {
  return join(dataDir, 'manager', 'begin.json');
}

/** @throws ClusterError system when the agent has not written it */
export function readBegin(dataDir: string): Begin {
  const begin = readJson(beginFile(dataDir));
  if (begin === undefined) {
    throw new ClusterError(
      'system',
      `there is no ${beginFile(dataDir)}: the agent of this host starts the manager`,
    );
  }
  return begin as Begin;
}

/**
 * For a joining manager: ask to be taken into the group, following the leader, and keep the answer on disk.
 * @throws ClusterError with the last refusal
 */
export async function takenIn(
  begin: Begin,
  options: {
    readonly dataDir: string;
    readonly credentials: Credentials;
    readonly pause: () => Promise<void>;
  },
): Promise<Begin> {
  if (begin.how.kind !== 'join' || begin.how.members) return begin;
  const member: GroupMember = {
    raftId: begin.raftId,
    nodeId: options.credentials.identity.nodeId,
    address: begin.advertise,
  };
  const members = await askAround(begin.how.remotes, member, options);
  const done: Begin = { ...begin, how: { ...begin.how, members } };
  writeFileAtomic(beginFile(options.dataDir), JSON.stringify(done), 0o600);
  return done;
}

/** What the beginning needed, the root's key among it, is in the log now and need not lie about. */
export function begun(dataDir: string, begin: Begin): void {
  if (begin.how.kind !== 'bootstrap' && begin.how.kind !== 'alone') return;
  const done: Begin = { ...begin, how: { kind: 'member' } };
  writeFileAtomic(beginFile(dataDir), JSON.stringify(done), 0o600);
}

async function askAround(
  remotes: readonly string[],
  member: GroupMember,
  options: { readonly credentials: Credentials; readonly pause: () => Promise<void> },
): Promise<readonly GroupMember[]> {
  let next: string | undefined;
  let last: unknown;
  for (let attempt = 0; attempt < JOIN_ATTEMPTS; attempt++) {
    const address = next ?? remotes[attempt % remotes.length] ?? '';
    next = undefined;
    const client = RpcClient.connect(address, options.credentials);
    try {
      const answer = await joinGroup(client, member);
      if ('members' in answer) return answer.members;
      if (answer.leader !== '') next = answer.leader;
    } catch (error) {
      last = error;
    } finally {
      client.close();
    }
    if (next === undefined) await options.pause();
  }
  const where = remotes.join(', ');
  throw new ClusterError(
    'unavailable',
    `manager could not join the group at ${where}: ${String(last)}`,
    { cause: last },
  );
}

export function selfOf(begin: Begin, nodeId: NodeId): GroupMember {
  return { raftId: begin.raftId, nodeId, address: begin.advertise };
}
