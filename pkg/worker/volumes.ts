import { mkdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { NodeVolume, VolumePaths } from '../csi/index.ts';
import { type Clock, type Logger, readJson, type Timer, writeFileAtomic } from '../io/index.ts';
import { errorMessage, isBlockVolume, type VolumeId } from '../model/index.ts';
import type { AssignmentChanges, VolumeAssignment, VolumeStatusReport } from '../rpc/index.ts';
import type { HostVolume } from './task-volumes.ts';

/** The storage drivers of this host, as far as volumes need them. */
export interface NodeDrivers {
  bring(driver: string, volume: NodeVolume, paths: VolumePaths): Promise<void>;
  takeAway(driver: string, handle: string, paths: VolumePaths): Promise<void>;
}

export interface VolumesOptions {
  /** For the volumes' mounts, and the file that says which there may be. */
  readonly directory: string;
  readonly drivers: NodeDrivers;
  readonly clock: Clock;
  readonly log: Logger;
}

/** How a worker and its volumes go together. */
export interface VolumesLink {
  readonly secrets: () => ReadonlyMap<string, Uint8Array>;
  /** Whether a container that uses it may be alive. */
  readonly isUsed: (id: VolumeId) => boolean;
  /** A volume is there: tasks that wait for it may look. */
  readonly onArrival: () => void;
  readonly report: (statuses: readonly VolumeStatusReport[]) => void;
}

interface Held {
  assignment: VolumeAssignment;
  /** Not assigned any more, or to be let go. */
  leaving: boolean;
  /** Its driver said so since this agent began. */
  present: boolean;
  busy: boolean;
  /** Something happened while it was busy. */
  again: boolean;
  failures: number;
  error: string | undefined;
  retry: Timer | undefined;
}

const FILE = 'volumes.json';
const NOTHING_KEPT = '[]';
const BACKOFF_FIRST_MS = 250;
const BACKOFF_MAX_MS = 10_000;
/** A manager that could not write what it was told is told again. */
const REPEAT_MS = 5_000;
/** A disk that took nothing is asked again. */
const SAVE_AGAIN_MS = 1_000;

/**
 * The cluster volumes of this host: brought in when they are assigned, taken away when they are not and no task uses
 * them. What may be mounted is on disk before a driver is asked, so an agent that starts again asks again; drivers are
 * to take that.
 */
export class Volumes {
  readonly #options: VolumesOptions;
  readonly #held = new Map<VolumeId, Held>();
  /** Assigned as leaving, and nothing of them here. */
  readonly #gone = new Set<VolumeId>();
  /** What is on disk; undefined: not known. */
  #saved: string | undefined;
  /** What may be mounted may not be on disk yet. */
  #isUnsaved = false;
  #saveAgain: Timer | undefined;
  #link: VolumesLink | undefined;
  #repeat: Timer | undefined;

  constructor(options: VolumesOptions) {
    this.#options = options;
    const kept = readJson(join(options.directory, FILE)) as VolumeAssignment[] | undefined;
    for (const assignment of kept ?? []) this.#hold(assignment);
    this.#saved = kept === undefined ? NOTHING_KEPT : undefined;
  }

  join(link: VolumesLink): void {
    this.#link = link;
    this.look();
  }

  /** The worker ends; what is mounted stays. */
  leave(): void {
    this.#link = undefined;
    this.#repeat?.cancel();
    this.#repeat = undefined;
    this.#saveAgain?.cancel();
    this.#saveAgain = undefined;
    for (const held of this.#held.values()) held.retry?.cancel();
  }

  /** Undefined while the volume is not on this host. */
  find(id: VolumeId): HostVolume | undefined {
    const held = this.#held.get(id);
    if (!held?.present) return undefined;
    return { path: this.#paths(id).target, isBlock: isBlockVolume(held.assignment) };
  }

  assign({ volumes = [], removedVolumes = [] }: AssignmentChanges, complete: boolean): void {
    const named = new Set(volumes.map(({ id }) => id));
    if (complete) {
      this.#gone.clear();
      for (const [id, held] of this.#held) if (!named.has(id)) held.leaving = true;
    }
    for (const id of removedVolumes) {
      this.#gone.delete(id);
      const held = this.#held.get(id);
      if (held) held.leaving = true;
    }
    for (const assignment of volumes) this.#take(assignment);
    this.#isUnsaved = true;
    this.look();
    this.#reportGone();
  }

  /** Something that volumes wait for may have happened: a task ended, a secret came. */
  look(): void {
    const isKept = this.#isKept();
    for (const held of this.#held.values()) {
      if (!isKept && !held.leaving) continue;
      if (held.busy) held.again = true;
      else if (!held.retry) void this.#drive(held);
    }
  }

  /** The host leaves the cluster, and nothing uses them any more. What a driver refuses stays mounted. */
  async removeEverything(): Promise<void> {
    const { directory, drivers, log } = this.#options;
    for (const { assignment } of this.#held.values()) {
      const { id, spec, handle } = assignment;
      try {
        await drivers.takeAway(spec.Driver ?? '', handle, this.#paths(id));
        removeDirectories(this.#own(id));
      } catch (error) {
        log.error('volume not taken away', { volume: spec.Name, id, error });
      }
    }
    this.#held.clear();
    rmSync(join(directory, FILE), { force: true });
    this.#saved = NOTHING_KEPT;
    this.#isUnsaved = false;
  }

  #take(assignment: VolumeAssignment): void {
    const held = this.#held.get(assignment.id);
    if (held) {
      held.assignment = assignment;
      held.leaving = assignment.leaving;
    } else if (!assignment.leaving) {
      this.#gone.delete(assignment.id);
      this.#hold(assignment);
    } else {
      this.#gone.add(assignment.id);
    }
  }

  #hold(assignment: VolumeAssignment): void {
    this.#held.set(assignment.id, {
      assignment,
      leaving: assignment.leaving,
      present: false,
      busy: false,
      again: false,
      failures: 0,
      error: undefined,
      retry: undefined,
    });
  }

  async #drive(held: Held): Promise<void> {
    const link = this.#link;
    const wish = held.leaving ? this.#takeAway : held.present ? undefined : this.#bring;
    if (!link || !wish) return;
    if (held.leaving && link.isUsed(held.assignment.id)) return;
    held.busy = true;
    held.again = false;
    try {
      if (await wish.call(this, held, link)) held.again = true;
    } catch (error) {
      this.#fail(held, errorMessage(error));
    } finally {
      held.busy = false;
    }
    if (held.again) this.look();
  }

  #fail(held: Held, error: string): void {
    const { clock, log } = this.#options;
    const { id, spec } = held.assignment;
    log.warn('volume not served', { volume: spec.Name, id, leaving: held.leaving, error });
    if (held.error !== error) this.#report(held, error);
    const delayMs = Math.min(BACKOFF_FIRST_MS * 2 ** held.failures, BACKOFF_MAX_MS);
    held.failures += 1;
    held.retry = clock.after(delayMs, () => {
      held.retry = undefined;
      this.look();
    });
  }

  #report(held: Held, error: string | undefined): void {
    held.error = error;
    this.#link?.report([{ volumeId: held.assignment.id, gone: false, error }]);
  }

  /** False: something it needs is not here yet. */
  async #bring(held: Held, link: VolumesLink): Promise<boolean> {
    const { id, spec, handle, context, publishContext } = held.assignment;
    const secrets = secretTexts(held.assignment, link.secrets());
    if (!secrets) return false;
    const paths = this.#paths(id);
    mkdirSync(paths.staging, { recursive: true, mode: 0o700 });
    const volume = { spec, handle, context, publishContext, secrets };
    await this.#options.drivers.bring(spec.Driver ?? '', volume, paths);
    held.present = true;
    held.failures = 0;
    if (held.error !== undefined) this.#report(held, undefined);
    link.onArrival();
    return true;
  }

  async #takeAway(held: Held): Promise<boolean> {
    const { id, spec, handle } = held.assignment;
    const paths = this.#paths(id);
    held.present = false;
    await this.#options.drivers.takeAway(spec.Driver ?? '', handle, paths);
    removeDirectories(this.#own(id));
    if (!held.leaving) return true;
    this.#held.delete(id);
    if (held.assignment.leaving) this.#gone.add(id);
    this.#isUnsaved = true;
    this.#reportGone();
    return true;
  }

  #reportGone(): void {
    this.#repeat?.cancel();
    this.#repeat = undefined;
    if (this.#gone.size === 0 || !this.#link) return;
    this.#link.report([...this.#gone].map((volumeId) => ({ volumeId, gone: true })));
    this.#repeat = this.#options.clock.after(REPEAT_MS, () => this.#reportGone());
  }

  #paths(id: VolumeId): VolumePaths {
    const own = join(this.#options.directory, id);
    return { staging: join(own, 'staging'), target: join(own, 'mount') };
  }

  #own(id: VolumeId): readonly string[] {
    const { target, staging } = this.#paths(id);
    return [target, staging, join(this.#options.directory, id)];
  }

  /** Tries to keep what there is; nothing is brought in before. */
  #isKept(): boolean {
    if (!this.#isUnsaved) return true;
    if (this.#saveAgain) return false;
    try {
      this.#save();
      this.#isUnsaved = false;
      return true;
    } catch (error) {
      const { clock, log } = this.#options;
      log.error('volumes not kept on disk', { error: errorMessage(error) });
      this.#saveAgain = clock.after(SAVE_AGAIN_MS, () => {
        this.#saveAgain = undefined;
        this.look();
      });
      return false;
    }
  }

  #save(): void {
    const { directory } = this.#options;
    const kept = [...this.#held.values()].map(({ assignment, leaving }) => ({
      ...assignment,
      leaving,
    }));
    const text = JSON.stringify(kept);
    // Writing takes milliseconds, and what every task waits for is told by way of here.
    if (text === this.#saved) return;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeFileAtomic(join(directory, FILE), text, 0o600);
    this.#saved = text;
  }
}

/** Undefined while one of them is not here. */
function secretTexts(
  { secrets }: VolumeAssignment,
  values: ReadonlyMap<string, Uint8Array>,
): Readonly<Record<string, string>> | undefined {
  const texts: Record<string, string> = {};
  for (const [key, id] of Object.entries(secrets)) {
    const value = values.get(id);
    if (!value) return undefined;
    texts[key] = Buffer.from(value).toString('utf8');
  }
  return texts;
}

/** Empty ones only: what a driver left mounted or written is not ours to delete. */
function removeDirectories(paths: readonly string[]): void {
  for (const path of paths) {
    try {
      rmdirSync(path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error;
    }
  }
}
