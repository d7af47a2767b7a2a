import type { ConfChangeType } from 'raft-js';
import type { Clock, Logger } from '../io/index.ts';
import { sleep } from '../io/index.ts';
import { ClusterError, type Version } from '../model/index.ts';
import { encodeMemberCommand, type MemberCommand, type RequestId } from './command.ts';
import type { CallOptions, Member, MemberStatus, Tuning } from './contract.ts';
import type { Leadership } from './leadership.ts';
import type { Peers } from './peers.ts';
import { asError, type Proposals } from './proposals.ts';
import type { Replica } from './replica.ts';
import type { StateMachine } from './state-machine.ts';

export interface MembershipOptions {
  readonly self: Member;
  readonly machine: StateMachine;
  readonly replica: () => Replica;
  readonly leadership: Leadership;
  readonly peers: Peers;
  readonly proposals: Proposals;
  readonly tuning: Tuning;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly newRequest: () => Pick<MemberCommand, 'id' | 'now' | 'base'>;
}

const TIMEOUT_MS = 20_000;
const TRANSFER_MS = 5000;
/** Between two changes of the leader's own: one that was dropped is asked for again. */
const CHANGE_TICKS = 5;
/** A learner that lacks no more than this becomes a voter. */
const CAUGHT_UP_ENTRIES = 64;

/** The managers as members of the raft group: one change at a time, never to a group without a quorum. */
export class Membership {
  readonly #options: MembershipOptions;
  #changingUntil = 0;
  #released = false;

  constructor(options: MembershipOptions) {
    this.#options = options;
  }

  list(): readonly MemberStatus[] {
    const { machine, replica, leadership, self, peers } = this.#options;
    const { voters, votersOutgoing } = replica().confState;
    return [...machine.members.values()].map((member) => ({
      raftId: member.raftId,
      nodeId: member.nodeId,
      address: member.address,
      role: [...voters, ...votersOutgoing].includes(member.raftId) ? 'voter' : 'learner',
      leader: member.raftId === leadership.lead,
      reachable: member.raftId === self.raftId || this.#reachable(member.raftId),
      silentMs: peers.silentMs(member.raftId),
    }));
  }

  /** What a caller is told while nothing can be decided. */
  noLeader(): ClusterError {
    const voters = this.list().filter((member) => member.role === 'voter');
    const reachable = voters.filter((member) => member.reachable).length;
    const count = `${reachable} of ${voters.length} managers reachable`;
    const state = this.quorumLost()
      ? `quorum lost: ${count}; if the addresses of managers changed, start this agent with --managers; if the others cannot come back, run "docker swarm init --force-new-cluster" on this one`
      : count;
    return new ClusterError(
      'unavailable',
      `rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers are online. Make sure more than half of the managers are online. (${state})`,
      { code: 'ERR_NO_LEADER' },
    );
  }

  /** This member leads and reaches a quorum, or it reaches the leader: a proposal may be committed. */
  hasTaker(): boolean {
    const { lead, elected } = this.#options.leadership;
    if (elected) return !this.quorumLost();
    return lead !== 0 && this.#reachable(lead);
  }

  /** No more than half of the voters can be reached. */
  quorumLost(): boolean {
    const voters = this.list().filter((member) => member.role === 'voter');
    return voters.filter((member) => member.reachable).length * 2 <= voters.length;
  }

  async add(member: Member, options: CallOptions = {}): Promise<void> {
    if (this.#options.machine.members.has(member.raftId)) return;
    const request = { ...this.#options.newRequest(), member, promote: true };
    await this.#change('addLearner', member.raftId, request, options);
  }

  /**
   * Resolves when the member may go: the leader appends a second entry, which changes nothing more, after the removal took
   * effect; with it a quorum of the rest has made durable that it did. Before that the vote of the member may be needed.
   */
  async remove(raftId: number, options: CallOptions = {}): Promise<void> {
    const { machine, leadership, self, clock, tuning } = this.#options;
    if (!machine.members.has(raftId) && !machine.removedMembers.has(raftId)) {
      throw new ClusterError('not-found', `manager ${raftId} is not a member`);
    }
    if (machine.members.has(raftId)) {
      this.#checkQuorumWithout(raftId);
      if (leadership.lead === raftId) await this.transfer(undefined, options);
      const request = this.#options.newRequest();
      const removal = this.#change('removeNode', raftId, request, options);
      // When another one was faster, this member hears nothing any more of its own removal.
      if (raftId === self.raftId) removal.catch(() => undefined);
      else await removal;
    }
    const mayGo = (): boolean =>
      raftId === self.raftId
        ? this.#released
        : machine.removedMembers.get(raftId)?.settled === true;
    const deadline = clock.monotonicMs() + (options.timeoutMs ?? TIMEOUT_MS);
    while (!mayGo()) {
      if (clock.monotonicMs() >= deadline) throw this.noLeader();
      await sleep(clock, tuning.tickMs / 4, options.signal);
    }
  }

  /** This member was told that it is out and may go. */
  released(): void {
    this.#released = true;
  }

  /** Another voter is there that could lead. */
  canHandOver(): boolean {
    return this.#mostAdvanced(this.#options.leadership.lead) !== undefined;
  }

  /** Resolves when another member leads. @throws ClusterError when there is none to take over */
  async transfer(to: number | undefined, options: CallOptions = {}): Promise<void> {
    const { leadership, clock, replica, tuning } = this.#options;
    const from = leadership.lead;
    const target = to ?? this.#mostAdvanced(from);
    if (target === undefined) {
      throw new ClusterError('conflict', 'no other manager is there to take over leadership');
    }
    const deadline = clock.monotonicMs() + (options.timeoutMs ?? TRANSFER_MS);
    let askedAt = Number.NEGATIVE_INFINITY;
    const done = (): boolean =>
      leadership.lead !== 0 &&
      (to === undefined ? leadership.lead !== from : leadership.lead === to);
    while (!done()) {
      if (options.signal?.aborted) throw asError(options.signal.reason);
      const now = clock.monotonicMs();
      if (now >= deadline) throw this.noLeader();
      if (now - askedAt >= tuning.tickMs * tuning.electionTicks && leadership.lead !== 0) {
        replica().transferLeader(target);
        askedAt = now;
      }
      await sleep(clock, tuning.tickMs / 2, options.signal);
    }
  }

  /** To be called at short intervals: the leader finishes what was begun with members. */
  tick(): void {
    const { leadership, machine, clock, replica, tuning, self } = this.#options;
    const now = clock.monotonicMs();
    if (!leadership.elected || now < this.#changingUntil) return;
    if (machine.removedMembers.has(self.raftId)) {
      // As leader of a group that it is not in it can change nothing any more.
      const target = this.#mostAdvanced(self.raftId);
      if (target !== undefined) replica().transferLeader(target);
    } else if (!leadership.leading || !(this.#settle() || this.#readdress() || this.#promote())) {
      return;
    }
    this.#changingUntil = now + CHANGE_TICKS * tuning.tickMs;
  }

  /** A learner that has caught up becomes a voter. */
  #promote(): boolean {
    const { machine, replica, newRequest, logger } = this.#options;
    const candidates = [...machine.members.values()].filter((member) => member.promote);
    if (candidates.length === 0) return false;
    const { progress, commit } = replica().status();
    for (const { raftId, nodeId, address } of candidates) {
      const view = progress.get(raftId);
      const near = view?.state === 'StateReplicate' && view.match + CAUGHT_UP_ENTRIES >= commit;
      if (!near) continue;
      const command = { ...newRequest(), member: { raftId, nodeId, address } };
      const changes = [{ type: 'addNode', nodeId: raftId }] as const;
      replica().proposeConfChange({ changes, context: encodeMemberCommand(command) });
      logger.info('manager caught up and becomes a voter', { member: raftId });
      return true;
    }
    return false;
  }

  /** A member was started under another address: it is written, so that a restart of the others finds it there. */
  #readdress(): boolean {
    const { machine, peers, replica, newRequest, logger } = this.#options;
    const [moved] = peers.moved();
    if (moved === undefined) return false;
    const { raftId, nodeId, address } = moved;
    const command = { ...newRequest(), member: { raftId, nodeId, address } };
    const changes = [{ type: 'updateNode', nodeId: raftId }] as const;
    replica().proposeConfChange({ changes, context: encodeMemberCommand(command) });
    const before = machine.members.get(raftId)?.address;
    logger.info('manager has another address', { member: raftId, before, address });
    return true;
  }

  /** The second half of a removal. */
  #settle(): boolean {
    const { machine, replica, newRequest } = this.#options;
    const open = [...machine.removedMembers.values()].find((member) => member.settled !== true);
    if (open === undefined) return false;
    const changes = [{ type: 'removeNode', nodeId: open.raftId }] as const;
    replica().proposeConfChange({ changes, context: encodeMemberCommand(newRequest()) });
    return true;
  }

  async #change(
    type: ConfChangeType,
    raftId: number,
    command: MemberCommand,
    options: CallOptions,
  ): Promise<void> {
    const { proposals, replica } = this.#options;
    const change = { changes: [{ type, nodeId: raftId }], context: encodeMemberCommand(command) };
    const outcome = await proposals.submit({
      id: command.id as RequestId,
      send: (onDropped): void => {
        if (!replica().proposeConfChange(change)) onDropped();
      },
      timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
      signal: options.signal,
      mayBePassedOver: true,
    });
    if (outcome.refusal) {
      throw new ClusterError(
        'conflict',
        `member ${raftId} cannot be changed: it was removed before`,
      );
    }
    // Others may act on it now, so a restart must not forget that it is committed.
    await replica().writer.flush();
  }

  #reachable(raftId: number): boolean {
    const { peers, tuning } = this.#options;
    return peers.heardWithin(raftId, 2 * tuning.tickMs * tuning.electionTicks);
  }

  #checkQuorumWithout(raftId: number): void {
    const rest = this.list().filter(
      (member) => member.role === 'voter' && member.raftId !== raftId,
    );
    const reachable = rest.filter((member) => member.reachable).length;
    if (rest.length > 0 && reachable > rest.length / 2) return;
    throw new ClusterError(
      'conflict',
      'rpc error: code = FailedPrecondition desc = raft: member cannot be removed, because removing it may result in loss of quorum',
      { code: 'ERR_QUORUM_LOSS', status: 412 },
    );
  }

  /** Among reachable voters other than `from`, the one that has most of the log (known on the leader only). */
  #mostAdvanced(from: number): number | undefined {
    const { progress } = this.#options.replica().status();
    const candidates = this.list().filter(
      (member) => member.role === 'voter' && member.reachable && member.raftId !== from,
    );
    const match = (member: Member): Version => (progress.get(member.raftId)?.match ?? 0) as Version;
    return candidates.sort((left, right) => match(right) - match(left))[0]?.raftId;
  }
}
