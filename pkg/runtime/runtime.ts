import type { Readable, Writable } from 'node:stream';
import type { ContainerSpec, ExecSpec, Resources } from './spec.ts';

/** Nanoseconds since 1970-01-01T00:00:00Z. */
export type UnixNs = bigint;

/** Why a verb failed. `exec-not-found` is Docker's exit code 127, `exec-denied` 126. */
export type RuntimeErrorCode =
  | 'invalid' // the spec cannot be carried out as written
  | 'exists' // the id is taken
  | 'not-found' // no such container or exec
  | 'conflict' // wrong state for the verb
  | 'exec-not-found' // the program does not exist in the container
  | 'exec-denied' // the program exists and cannot be run
  | 'fenced' // the container's lease is over: it may be started when that is renewed
  | 'lost' // the shim is gone
  | 'failed'; // the kernel refused; the message names the call

export class RuntimeError extends Error {
  readonly code: RuntimeErrorCode;
  constructor(code: RuntimeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'RuntimeError';
    this.code = code;
  }
}

/** A `RuntimeError` that passes on what caused it. */
export function caused(cause: unknown, code: RuntimeErrorCode, message: string): RuntimeError {
  return new RuntimeError(code, message, { cause });
}

/** How a container's first process, or an exec, ended. */
export interface ExitStatus {
  /** 0..255; 128 + signal when a signal ended it. 137 for a lost container. */
  readonly code: number;
  /** Signal number, when one ended it. */
  readonly signal?: number | undefined;
  /** The kernel's out-of-memory killer struck in this container's cgroup. */
  readonly oomKilled: boolean;
  /** The shim killed it at the end of its lease. */
  readonly fenced?: boolean | undefined;
  /** Why the program could not be started, in Docker's words. */
  readonly error?: string | undefined;
  readonly finishedAtNs: UnixNs;
}

export interface ContainerState {
  /** `lost`: the shim vanished without recording an exit; treat as exited 137. */
  readonly status: 'created' | 'running' | 'paused' | 'exited' | 'lost';
  /** Of the first process, in the agent's pid namespace; 0 once it ended. */
  readonly pid: number;
  /** /proc/<pid>/stat field 22: tells a reused pid apart. */
  readonly startTime: string;
  readonly startedAtNs?: UnixNs | undefined;
  /** Its first process exits at this moment, and takes every other with it. */
  readonly ending: boolean;
  readonly exit?: ExitStatus | undefined;
}

export interface CreatedContainer {
  readonly pid: number;
  readonly startTime: string;
  /** `/proc/<pid>/ns/net`: wire the network through it before `start`. */
  readonly netns: string;
}

/** A connection to the process's stdio. Output that was produced before attaching is in the log, not here. */
export interface Attachment {
  /** Everything the process writes to stdout (and stderr, when it has a terminal). Ends when the process ended. */
  readonly stdout: Readable;
  /** Empty and ended with `stdout` when it has a terminal. */
  readonly stderr: Readable;
  /** `end()` closes the process's stdin (no effect with a terminal). Errors with EPIPE when stdin is not open. */
  readonly stdin: Writable;
  /** Detach: the process keeps running. Unread output no longer holds it back. */
  close(): void;
}

export interface ExecHandle extends Attachment {
  readonly execId: string;
  readonly pid: number;
  wait(): Promise<ExitStatus>;
  resize(rows: number, cols: number): Promise<void>;
  /** Sends a signal to the exec's process only. */
  kill(signal: number | string): Promise<void>;
}

/** One line of a log, or a piece of one. */
export interface LogRecord {
  readonly timeNs: UnixNs;
  readonly stream: 'stdout' | 'stderr';
  /** The bytes as written, the newline included when there was one. */
  readonly data: Buffer;
  /** The line continues in the next record of this stream (lines over 16 KiB). */
  readonly partial: boolean;
}

export interface LogOptions {
  /** Records at or after this time. */
  readonly since?: UnixNs | undefined;
  /** Records at or before this time. */
  readonly until?: UnixNs | undefined;
  /** Start with at most the last n records. */
  readonly tail?: number | undefined;
  /** Keep going until the container has exited or `signal` fires. */
  readonly follow?: boolean | undefined;
  readonly stdout?: boolean | undefined;
  readonly stderr?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Absolute counters since the container was created, except `pids` and `memoryBytes`, which are current. */
export interface ContainerStats {
  readonly readAtNs: UnixNs;
  readonly cpuUsageNs: bigint;
  readonly cpuUserNs: bigint;
  readonly cpuSystemNs: bigint;
  readonly throttledPeriods: number;
  readonly totalPeriods: number;
  readonly throttledNs: bigint;
  /** As the kernel counts it, page cache included. */
  readonly memoryBytes: number;
  readonly memoryMaxBytes: number;
  /** The limit, or the machine's memory when there is none. */
  readonly memoryLimitBytes: number;
  /** memory.stat of the cgroup (names as the kernel gives them). */
  readonly memoryStat: Readonly<Record<string, number>>;
  readonly pids: number;
  /** 0 is unlimited. */
  readonly pidsLimit: number;
  readonly blkio: readonly BlkioStat[];
}

export interface BlkioStat {
  readonly major: number;
  readonly minor: number;
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly readOps: number;
  readonly writeOps: number;
}

/** A process of a container, as the host sees it. */
export interface ContainerProcess {
  readonly pid: number;
  readonly ppid: number;
  readonly uid: number;
  /** Clock ticks of CPU time used. */
  readonly cpuTicks: number;
  readonly startTime: string;
  readonly tty: number;
  readonly args: readonly string[];
}

/**
 * The containers of one state directory. All state is on disk and in the shims: a new `Runtime` on the same
 * directory (the agent was restarted, or killed with SIGKILL) carries on with every container.
 *
 * Every verb rejects with `RuntimeError`; `not-found` for an unknown id.
 */
export interface Runtime {
  /**
   * Builds the container up to the point before its program: namespaces, cgroups, mounts. The program waits for
   * `start`. On failure nothing is left behind. `exists` when the id is taken.
   */
  create(spec: ContainerSpec): Promise<CreatedContainer>;
  /** Lets the program run. `exec-not-found`/`exec-denied` (Docker's text) when it cannot be executed; the container is then `exited` 127/126. */
  start(id: string): Promise<void>;
  /** `signal`: 9, 'SIGKILL' or 'KILL'. `conflict` when it is not running. */
  kill(id: string, signal: number | string): Promise<void>;
  /** Resolves when the container is `exited` or `lost`, at once if it already is. Survives nothing: ask again after a restart. */
  wait(id: string): Promise<ExitStatus>;
  state(id: string): Promise<ContainerState>;
  /** Ids of all containers on disk, sorted, whatever their state. */
  list(): Promise<readonly string[]>;
  /**
   * Runs a further process. Resolves once it runs, with its stdio attached from the first byte.
   * `exec-not-found`/`exec-denied` when it cannot; `conflict` when the container is not running.
   */
  exec(id: string, spec: ExecSpec): Promise<ExecHandle>;
  /** Call between `create` and `start` to miss nothing. */
  attach(id: string): Promise<Attachment>;
  /** Terminal size. `conflict` when it has no terminal. */
  resize(id: string, rows: number, cols: number): Promise<void>;
  pause(id: string): Promise<void>;
  resume(id: string): Promise<void>;
  /** Changes limits of a live container; absent fields stay. */
  update(id: string, resources: Resources): Promise<void>;
  stats(id: string): Promise<ContainerStats>;
  top(id: string): Promise<readonly ContainerProcess[]>;
  /**
   * Removes cgroups, state directory and a log kept inside it (a log at `spec.log.path` stays).
   * `conflict` when it still runs, unless `force`, which kills everything in it first.
   */
  delete(id: string, options?: { readonly force?: boolean | undefined }): Promise<void>;
  /** The newest log file. */
  logPath(id: string): Promise<string>;
  /** The log, oldest first. See `readLogFile` for a container that was deleted. */
  readLog(id: string, options?: LogOptions): AsyncIterable<LogRecord>;
}
