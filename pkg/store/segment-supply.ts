import type { Clock, Disk, DiskFile, Logger, Timer } from '../io/index.ts';
import { ClusterError, errorMessage } from '../model/index.ts';

export interface SegmentSupplyOptions {
  readonly disk: Disk;
  readonly folder: string;
  readonly segmentBytes: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The disk has no room for another segment; undefined when it has again. */
  readonly onFull?: ((problem: ClusterError | undefined) => void) | undefined;
}

/** A file of zeros that occupies its blocks and has the head of no segment yet. */
export interface BlankSegment {
  readonly file: DiskFile;
  /** Its name until it is renamed to that of a segment. */
  readonly path: string;
  readonly size: number;
}

const RESERVE = 'reserve';
const RESERVE_BYTES = 1024 * 1024;
const RETRY_MS = 2000;

/**
 * Preallocates segments of the log before they are needed, and keeps a small reserve. On a full disk the reserve becomes
 * the last segment, so that what was begun can be ended in order; after that whoever needs room waits until there is some.
 */
export class SegmentSupply {
  readonly #options: SegmentSupplyOptions;
  #prepared: Promise<BlankSegment | undefined> | undefined;
  #problem: ClusterError | undefined;
  #timer: Timer | undefined;
  #wake: (() => void) | undefined;
  #closed = false;
  #made = 0;

  constructor(options: SegmentSupplyOptions) {
    this.#options = options;
  }

  /** Somebody waits for room. */
  get isStuck(): boolean {
    return this.#wake !== undefined;
  }

  /** Clear away what was not finished. */
  async open(): Promise<void> {
    const { disk, folder } = this.#options;
    for (const file of await disk.readdir(folder)) {
      if (file.endsWith('.tmp')) await disk.unlink(`${folder}/${file}`);
    }
  }

  /** Make the next segment, and the reserve, in the background. */
  prepare(): void {
    if (this.#closed || this.#prepared !== undefined) return;
    this.#timer?.cancel();
    this.#prepared = this.#fill();
  }

  /**
   * A blank segment of at least `bytes`. When the disk is full this waits for room, unless `wait` is false.
   * @throws ClusterError unavailable when it was closed while it waited, system when it does not wait and there is no room
   */
  async take(bytes: number, wait: boolean): Promise<BlankSegment> {
    const { segmentBytes } = this.#options;
    for (;;) {
      const prepared = await this.#prepared;
      this.#prepared = undefined;
      if (prepared !== undefined && prepared.size >= bytes) return prepared;
      if (prepared !== undefined) await this.#discard(prepared);
      const made = await this.#try(() =>
        this.#make(this.#newName(), Math.max(segmentBytes, bytes)),
      );
      if (made !== undefined) return made;
      const reserve = bytes <= RESERVE_BYTES ? await this.#openReserve() : undefined;
      if (reserve !== undefined) return reserve;
      if (!wait && this.#problem) throw this.#problem;
      await this.#room();
    }
  }

  /** Ends waiting, now and later. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    this.#wake?.();
    const prepared = await this.#prepared;
    this.#prepared = undefined;
    await prepared?.file.close();
  }

  async #fill(): Promise<BlankSegment | undefined> {
    const { segmentBytes, folder, logger } = this.#options;
    try {
      const made = await this.#try(async () => {
        await this.#makeReserve();
        return await this.#make(this.#newName(), segmentBytes);
      });
      if (made !== undefined) this.#tell(undefined);
      else this.#retryLater();
      return made;
    } catch (error) {
      // Whoever needs it makes it, and meets the error if it is still there.
      logger.warn('cannot preallocate the next log segment', { folder, error });
      return undefined;
    }
  }

  /** Undefined when there is no room. */
  async #try(make: () => Promise<BlankSegment>): Promise<BlankSegment | undefined> {
    try {
      return await make();
    } catch (error) {
      if (!isFull(error)) throw error;
      this.#tell(diskFull(this.#options.folder, error));
      return undefined;
    }
  }

  #tell(problem: ClusterError | undefined): void {
    const changed = (problem === undefined) !== (this.#problem === undefined);
    this.#problem = problem;
    if (!changed || this.#closed) return;
    const { logger, folder, onFull } = this.#options;
    if (problem) logger.error('disk is full', { folder, error: problem });
    else logger.info('disk has room again', { folder });
    onFull?.(problem);
  }

  #retryLater(): void {
    if (this.#closed) return;
    this.#timer?.cancel();
    this.#timer = this.#options.clock.after(RETRY_MS, () => {
      this.#prepared = undefined;
      this.prepare();
      const wake = this.#wake;
      this.#wake = undefined;
      wake?.();
    });
  }

  async #room(): Promise<void> {
    if (!this.#closed) {
      this.#retryLater();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#closed) throw new ClusterError('unavailable', 'the log is closed');
  }

  async #makeReserve(): Promise<void> {
    const { disk, folder } = this.#options;
    if ((await disk.readdir(folder)).includes(RESERVE)) return;
    const { file, path } = await this.#make(`${RESERVE}.tmp`, RESERVE_BYTES);
    await file.close();
    await disk.rename(path, `${folder}/${RESERVE}`);
  }

  async #openReserve(): Promise<BlankSegment | undefined> {
    const { disk, folder } = this.#options;
    if (!(await disk.readdir(folder)).includes(RESERVE)) return undefined;
    const path = `${folder}/${RESERVE}`;
    const file = await disk.open(path, 'write');
    return { file, path, size: await file.size() };
  }

  async #discard({ file, path }: BlankSegment): Promise<void> {
    await file.close();
    await this.#options.disk.unlink(path);
  }

  /** Never that of another one: whoever took it may not have renamed it yet, or is still making it. */
  #newName(): string {
    this.#made += 1;
    return `next-${this.#made}.tmp`;
  }

  async #make(name: string, size: number): Promise<BlankSegment> {
    const { disk, folder } = this.#options;
    const path = `${folder}/${name}`;
    if ((await disk.readdir(folder)).includes(name)) await disk.unlink(path);
    const file = await disk.open(path, 'create');
    try {
      await file.allocate(size);
      await file.fdatasync();
    } catch (error) {
      // The part of it that was allocated may be all the room there is.
      await file.close();
      await disk.unlink(path);
      throw error;
    }
    return { file, path, size };
  }
}

export function isFull(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return code === 'ENOSPC' || code === 'EDQUOT';
}

function diskFull(folder: string, cause: unknown): ClusterError {
  return new ClusterError(
    'unavailable',
    `the disk of this manager is full: cannot extend the log in ${folder} (${errorMessage(cause)}); free space on that file system, writing goes on by itself then`,
    { code: 'ERR_DISK_FULL', cause },
  );
}
