import { ClusterError } from '../../../pkg/model/index.ts';
import type { SimMember } from './member.ts';
import { isInjected } from './sim-disk.ts';
import type { World } from './world.ts';

const RETRY_MS = 150;
const PATIENCE_MS = 2000;

export interface OperatorOptions {
  readonly world: World;
  /** The machines that are meant to be in the group; changed by the operator. */
  readonly members: SimMember[];
  /** A machine under an id that was never used. */
  readonly newMachine: () => SimMember;
}

/** Who replaces machines: removes one from the group, and puts in an empty one under a new id. One thing at a time. */
export class Operator {
  readonly #options: OperatorOptions;
  busy = false;
  /** Changes that were confirmed. */
  removed = 0;
  added = 0;

  constructor(options: OperatorOptions) {
    this.#options = options;
  }

  async remove(victim: SimMember): Promise<void> {
    await this.#alone(async () => {
      const { raftId } = victim.self;
      const done = await this.#untilTold((member) =>
        member.store.removeMember(raftId, { timeoutMs: PATIENCE_MS }),
      );
      if (!done) return;
      this.removed++;
      this.gone(victim);
    });
  }

  /** It is no member any more: switched off, and never on again. */
  gone(victim: SimMember): void {
    const { members } = this.#options;
    const at = members.indexOf(victim);
    if (at >= 0) members.splice(at, 1);
    if (victim.isUp) victim.kill();
  }

  async add(): Promise<void> {
    await this.#alone(async () => {
      const { members, newMachine } = this.#options;
      const others = members.map(({ self }) => self);
      const machine = newMachine();
      machine.start(others);
      members.push(machine);
      const { self } = machine;
      const done = await this.#untilTold((member) =>
        member.store.addMember(self, { timeoutMs: PATIENCE_MS }),
      );
      if (done) this.added++;
    });
  }

  async #alone(work: () => Promise<void>): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    await work();
    this.busy = false;
  }

  /** Asks one member after the other until one says what became of it. False when it was refused. */
  async #untilTold(ask: (member: SimMember) => Promise<void>): Promise<boolean> {
    const { world, members } = this.#options;
    for (;;) {
      const up = members.filter((member) => member.isUp);
      const member = up.length > 0 ? world.random.pick(up) : undefined;
      const answer = member && (await answerOf(ask(member), member.ended));
      if (answer !== undefined) return answer;
      await world.pause(RETRY_MS);
    }
  }
}

/** Undefined when there was none: then it may have happened or not. */
async function answerOf(asked: Promise<void>, ended: Promise<void>): Promise<boolean | undefined> {
  asked.catch(() => undefined);
  try {
    return await Promise.race([asked.then(() => true), ended.then(() => undefined)]);
  } catch (error) {
    // The member that was asked gives up.
    if (isInjected(error)) return undefined;
    if (!(error instanceof ClusterError)) throw error;
    return error.kind === 'conflict' ? false : undefined;
  }
}
