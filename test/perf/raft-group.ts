/** Three stores in three processes, talking TLS and gRPC over the loopback as managers do. */
import { type ChildProcess, fork } from 'node:child_process';
import { join } from 'node:path';
import {
  createCertificateRequest,
  createRoot,
  identityOf,
  issueNodeCertificate,
} from '../../pkg/ca/index.ts';
import type { Identity } from '../../pkg/rpc/index.ts';
import type { Member } from '../../pkg/store/index.ts';
import { bundle, freePort, type Rate } from './measure.ts';
import type { MemberAnswer, MemberOrder, MemberState } from './raft-member.ts';

export interface RaftGroup {
  /** Proposals of 256 bytes on the leader. */
  write(inFlight: number, ms: number): Promise<Rate>;
  /** Linearizable reads of one object at member 1 (the leader), 2 or 3. Something must have been written. */
  read(member: number, inFlight: number, ms: number): Promise<Rate>;
  /** Processor time of all members so far, the writers among them, in microseconds. */
  cpuUs(): Promise<number>;
  /** That many bytes in configs of 100 kB. */
  fill(bytes: number): Promise<void>;
  state(member: number): Promise<MemberState>;
  /** As `kill -9`. */
  kill(member: number): Promise<void>;
  /** On the files it left. */
  restart(member: number): Promise<void>;
  stop(): Promise<void>;
}

export async function startGroup(
  folder: string,
  leaderArguments: readonly string[] = [],
): Promise<RaftGroup> {
  const program = join(folder, 'member.mjs');
  await bundle('raft-member.ts', program);
  const identities = await makeIdentities([1, 2, 3]);
  const members: Member[] = [];
  const children: ChildProcess[] = [];
  const start = async ({ raftId, address }: Member): Promise<void> => {
    const identity = identities.get(raftId) as Identity;
    const execArgv = ['--enable-source-maps', ...leaderArguments];
    const child = fork(program, { execArgv, cwd: folder });
    children[raftId - 1] = child;
    const directory = join(folder, `m${raftId}`);
    await ask(child, { order: 'start', identity, raftId, directory, address, members });
  };
  for (const raftId of [1, 2, 3]) {
    const address = `127.0.0.1:${await freePort()}`;
    const member = { raftId, nodeId: nodeIdOf(raftId), address } as Member;
    await start(member);
    if (raftId > 1) await ask(leaderOf(children), { order: 'add', member });
    members.push(member);
  }
  return {
    write: (inFlight, ms) => rateOf(children[0], { order: 'write', inFlight, ms }),
    read: (member, inFlight, ms) => rateOf(children[member - 1], { order: 'read', inFlight, ms }),
    cpuUs: async (): Promise<number> => {
      const answers = await Promise.all(children.map((child) => ask(child, { order: 'cpu' })));
      return answers.reduce((sum, answer) => sum + (answer.answer === 'cpu' ? answer.us : 0), 0);
    },
    fill: async (bytes): Promise<void> => {
      await ask(leaderOf(children), { order: 'fill', bytes });
    },
    state: async (member): Promise<MemberState> => {
      const answer = await ask(mustBe(children[member - 1]), { order: 'state' });
      if (answer.answer !== 'state') throw new Error('no state');
      return answer;
    },
    kill: async (member): Promise<void> => {
      const child = mustBe(children[member - 1]);
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
    },
    restart: async (member): Promise<void> => {
      const known = members[member - 1];
      if (known) await start(known);
    },
    stop: async (): Promise<void> => void (await Promise.all(children.map(end))),
  };
}

function leaderOf(children: readonly ChildProcess[]): ChildProcess {
  return mustBe(children[0]);
}

function mustBe(child: ChildProcess | undefined): ChildProcess {
  if (child === undefined) throw new Error('there is no such member');
  return child;
}

async function rateOf(child: ChildProcess | undefined, order: MemberOrder): Promise<Rate> {
  const answer = await ask(mustBe(child), order);
  if (answer.answer !== 'rate') throw new Error('no rate');
  return answer.rate;
}

function ask(child: ChildProcess, order: MemberOrder): Promise<MemberAnswer> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(new Error(`a member ended during ${order.order}`));
    child.once('exit', ended);
    child.once('message', (answer: MemberAnswer) => {
      child.off('exit', ended);
      if (answer.answer === 'failed') reject(new Error(answer.text));
      else resolve(answer);
    });
    child.send(order);
  });
}

/** Closing the channel lets it exit by itself, and write its profile if it was asked for one. */
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.disconnect();
  await ended;
}

function nodeIdOf(raftId: number): string {
  return String(raftId).padStart(25, 'm');
}

/** A member's messages count only under the certificate of its node. */
async function makeIdentities(raftIds: readonly number[]): Promise<ReadonlyMap<number, Identity>> {
  const clusterId = 'c'.repeat(25);
  const now = Date.now();
  const root = await createRoot({ clusterId, now });
  const identities = new Map<number, Identity>();
  for (const raftId of raftIds) {
    const { csrPem, keyPem } = await createCertificateRequest();
    const request = {
      root,
      csrPem,
      nodeId: nodeIdOf(raftId),
      role: 'manager',
      clusterId,
      now,
    } as const;
    const certificatePem = await issueNodeCertificate(request);
    identities.set(raftId, identityOf({ certificatePem, keyPem, rootPem: root.certificatePem }));
  }
  return identities;
}
