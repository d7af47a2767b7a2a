import type { FrameCodec } from '../frame-codec.ts';
import { type FaultJudge, NOTHING } from './fault-judge.ts';
import { aloneLife, failingLife, followerLife, type Life, nextLife } from './fault-scenario.ts';
import { type DiskOperation, JournalDisk, powerFailures } from './journal-disk.ts';

export interface Sweep {
  readonly name: string;
  /** How often recovery may refuse: never, when nothing was damaged. */
  readonly refuses: boolean;
  run(judge: FaultJudge, options: SweepOptions): Promise<void>;
}

export interface SweepOptions {
  readonly codec: FrameCodec | undefined;
  /** A failing disk fails from every so many of its operations on. */
  readonly failStride: number;
}

type FailingLife = Life & { readonly error: unknown };

/** All that can happen to a disk, against the recovery of a store. */
export const SWEEPS: readonly Sweep[] = [
  {
    name: 'power failure after each operation of a member alone',
    refuses: false,
    run: async (judge, { codec }): Promise<void> =>
      judge.failEverywhere(await aloneLife('killed', codec)),
  },
  {
    name: 'power failure after each operation of a follower that got a snapshot',
    refuses: false,
    run: async (judge, { codec }): Promise<void> => judge.failEverywhere(await followerLife(codec)),
  },
  {
    name: 'damage to a member that was idle',
    refuses: true,
    run: async (judge, { codec }): Promise<void> =>
      judge.damageEverywhere(await aloneLife('idle', codec)),
  },
  {
    name: 'damage to a member that was stopped',
    refuses: true,
    run: async (judge, { codec }): Promise<void> =>
      judge.damageEverywhere(await aloneLife('closed', codec)),
  },
  {
    name: 'damage to a follower that got a snapshot',
    refuses: true,
    run: async (judge, { codec }): Promise<void> =>
      judge.damageEverywhere(await followerLife(codec)),
  },
  {
    name: 'no room for another file or segment',
    refuses: false,
    run: (judge, options): Promise<void> =>
      failingFrom(['create', 'size'], 'ENOSPC', options, async (life) => {
        mustSayFull(life);
        await judge.failAfter(life);
      }),
  },
  {
    name: 'no room even for what was preallocated',
    refuses: false,
    run: (judge, options): Promise<void> =>
      failingFrom(['create', 'size', 'write'], 'ENOSPC', options, (life) => judge.failAfter(life)),
  },
  {
    name: 'failed fdatasync, a restart without and then a power failure with loss',
    refuses: false,
    run: (judge, options): Promise<void> =>
      failingFrom(['sync'], 'EIO', options, async (life, disk) => {
        await judge.failAfter(life);
        const next = await nextLife(life, disk);
        const after = powerFailures(next.journal);
        for (let count = life.journal.length; count <= next.journal.length; count++) {
          await judge.judge(next, after(count, NOTHING), count, `power failure after ${count}`);
        }
      }),
  },
];

/** Each time the disk fails from another of its operations on, until there is none left to fail. */
async function failingFrom(
  kinds: readonly DiskOperation['kind'][],
  code: string,
  { codec, failStride }: SweepOptions,
  check: (life: FailingLife, disk: JournalDisk) => Promise<void>,
): Promise<void> {
  for (let first = 0, reached = true; reached; first += failStride) {
    const disk = new JournalDisk();
    let seen = 0;
    disk.fail = ({ kind }): Error | undefined =>
      kinds.includes(kind) && seen++ >= first
        ? Object.assign(new Error(`${code}: simulated`), { code })
        : undefined;
    const life = await failingLife(disk, codec);
    reached = seen > first;
    disk.fail = (): undefined => undefined;
    await check(life, disk);
  }
}

/** Who had begun to write is told what is the matter. */
function mustSayFull({ error, written, directory }: FailingLife): void {
  if (error === undefined || written.length === 0) return;
  if (String(error).includes(`cannot extend the log in ${directory}/wal`)) return;
  throw new Error('the refusal does not name the disk', { cause: error });
}
