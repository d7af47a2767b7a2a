/** Three stores in three processes, talking over TLS on the loopback as managers do. */
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
import type { MemberAnswer, MemberOrder } from './raft-member.ts';

export interface RaftGroup {
  /** Proposals of 256 bytes on the leader. */
  write(inFlight: number, ms: number): Promise<Rate>;
  /** Linearizable reads of one object at member 1 (the leader), 2 or 3. Something must have been written. */
  read(member: number, inFlight: number, ms: number): Promise<Rate>;
  /** Processor time of all members so far, the writers among them, in microseconds. */
  cpuUs(): Promise<number>;
  stop(): Promise<void>;
}

export async function startGroup(
  folder: string,
  leaderArguments: readonly string[] = [],
): Promise<RaftGroup> {
  const program = join(folder, 'member.mjs');
  await bundle('raft-member.ts', program);
  const identity = await makeIdentity();
  const members: Member[] = [];
  const children: ChildProcess[] = [];
  for (const raftId of [1, 2, 3]) {
    const address = `127.0.0.1:${await freePort()}`;
    const member = { raftId, nodeId: `n${raftId}`, address } as Member;
    const execArgv = ['--enable-source-maps', ...leaderArguments];
    const child = fork(program, { execArgv, cwd: folder });
    children.push(child);
    const directory = join(folder, `m${raftId}`);
    await ask(child, { order: 'start', identity, raftId, directory, address, members });
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
    stop: async (): Promise<void> => void (await Promise.all(children.map(end))),
  };
}

function leaderOf(children: readonly ChildProcess[]): ChildProcess {
  const [first] = children;
  if (first === undefined) throw new Error('the group is empty');
  return first;
}

async function rateOf(child: ChildProcess | undefined, order: MemberOrder): Promise<Rate> {
  if (child === undefined) throw new Error('there is no such member');
  const answer = await ask(child, order);
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

async function makeIdentity(): Promise<Identity> {
  const clusterId = 'c'.repeat(25);
  const now = Date.now();
  const root = await createRoot({ clusterId, now });
  const { csrPem, keyPem } = await createCertificateRequest();
  const nodeId = 'm'.repeat(25);
  const certificatePem = await issueNodeCertificate({
    root,
    csrPem,
    nodeId,
    role: 'manager',
    clusterId,
    now,
  });
  return identityOf({ certificatePem, keyPem, rootPem: root.certificatePem });
}
