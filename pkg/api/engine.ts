import type { Readable, Writable } from 'node:stream';

/** A JSON object in the Engine API's shape (field names, units and zero values of the published description v1.50). */
export type DockerJson = Readonly<Record<string, unknown>>;

/**
 * One host's containers, images, volumes and local networks, as the API needs them. Implemented by the engine package;
 * this package knows it only by this shape.
 *
 * Every `container`, `image`, `volume`, `network` argument is what the user typed: full id, unique prefix of an id, or
 * name. Verbs reject with `ClusterError` (kind gives the HTTP status, message is Docker's text, for instance
 * `No such container: x`, `No such image: x:latest`).
 */
export interface Engine {
  readonly containers: EngineContainers;
  readonly execs: EngineExecs;
  readonly images: EngineImages;
  readonly volumes: EngineVolumes;
  readonly networks: EngineNetworks;
  /** `GET /info` without its `Swarm` part. */
  info(): Promise<DockerJson>;
  /** `GET /version`: `Version`, `GitCommit`, `KernelVersion`, `Components`… without `ApiVersion` and `MinAPIVersion`. */
  version(): Promise<DockerJson>;
  /**
   * Events of this host, oldest first: those kept since `sinceNs`, then live ones until `untilNs` or until `signal`
   * fires, when the iteration ends without an error.
   */
  events(options: EngineEventOptions): AsyncIterable<EngineEvent>;
  /** `GET /system/df`: `LayersSize`, `Images`, `Containers`, `Volumes`, `BuildCache`. */
  diskUsage(): Promise<DockerJson>;
}

export interface EngineEventOptions {
  readonly sinceNs?: bigint | undefined;
  readonly untilNs?: bigint | undefined;
  readonly signal: AbortSignal;
}

/** The Engine API's EventMessage. The API adds nothing to it but the deprecated `status`, `id` and `from`. */
export interface EngineEvent {
  readonly Type: string;
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> };
  readonly scope: 'local' | 'swarm';
  readonly timeNs: bigint;
}

export interface EngineContainers {
  /** ContainerSummary objects, newest first; running ones only unless `all`. The API applies filters and limit. */
  list(options: { readonly all: boolean; readonly size: boolean }): Promise<readonly DockerJson[]>;
  /** ContainerInspectResponse. */
  inspect(container: string, options: { readonly size: boolean }): Promise<DockerJson>;
  /** `body` is the request of `POST /containers/create` as sent. Returns the full id. */
  create(
    name: string | undefined,
    body: DockerJson,
  ): Promise<{ readonly id: string; readonly warnings: readonly string[] }>;
  /** Kind `not-modified` when it already runs. */
  start(container: string): Promise<void>;
  /** `timeoutS` -1: wait for ever; absent: the container's own StopTimeout. Kind `not-modified` when it is stopped. */
  stop(container: string, options: StopOptions): Promise<void>;
  restart(container: string, options: StopOptions): Promise<void>;
  /** `signal` as sent: `KILL`, `SIGKILL` or `9`. Kind `conflict` when it does not run. */
  kill(container: string, signal: string): Promise<void>;
  remove(
    container: string,
    options: { readonly force: boolean; readonly volumes: boolean },
  ): Promise<void>;
  /**
   * Resolves when the condition is met. `registered` is called once waiting has begun (the container exists and no
   * exit after this instant is missed): the response header is sent then.
   */
  wait(
    container: string,
    condition: 'not-running' | 'next-exit' | 'removed',
    options: { readonly registered: () => void; readonly signal: AbortSignal },
  ): Promise<{ readonly exitCode: number; readonly error?: string | undefined }>;
  rename(container: string, name: string): Promise<void>;
  /** Records oldest first; ends at the end of the log, or (`follow`) when the container is over or `signal` fires. */
  logs(container: string, options: ContainerLogOptions): Promise<ContainerLogStream>;
  /** Works for created containers too: output is delivered from the first byte once it is started. */
  attach(container: string, options: { readonly stdin: boolean }): Promise<ContainerStream>;
  resize(container: string, size: TerminalSize): Promise<void>;
  /** `{Titles, Processes}`; `psArgs` as sent (`-ef` when absent). */
  top(container: string, psArgs: string): Promise<DockerJson>;
  /** One ContainerStatsResponse per sample, about one a second until `signal` fires. */
  stats(container: string, options: { readonly signal: AbortSignal }): AsyncIterable<DockerJson>;
  pause(container: string): Promise<void>;
  unpause(container: string): Promise<void>;
  /** `body` is the request of `POST /containers/{id}/update` as sent. */
  update(container: string, body: DockerJson): Promise<{ readonly warnings: readonly string[] }>;
  /** FilesystemChange objects `{Path, Kind}`. */
  changes(container: string): Promise<readonly DockerJson[]>;
  /** A tar stream of the container's root file system. */
  exportTar(container: string): Promise<Readable>;
  archiveStat(container: string, path: string): Promise<PathStat>;
  archiveGet(
    container: string,
    path: string,
  ): Promise<{ readonly stat: PathStat; readonly tar: Readable }>;
  archivePut(container: string, path: string, tar: Readable): Promise<void>;
  /** Removes stopped containers that `keep` (over ContainerSummary) does not want kept. */
  prune(keep: (summary: DockerJson) => boolean): Promise<PruneResult>;
}

export interface StopOptions {
  readonly timeoutS?: number | undefined;
  readonly signal?: string | undefined;
}

export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

export interface PathStat {
  readonly name: string;
  readonly size: number;
  /** Go FileMode bits. */
  readonly mode: number;
  /** RFC 3339. */
  readonly mtime: string;
  readonly linkTarget: string;
}

export interface PruneResult {
  /** Ids or names of what was removed. */
  readonly deleted: readonly string[];
  readonly spaceReclaimed: number;
}

export interface ContainerLogOptions {
  readonly follow: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly sinceNs?: bigint | undefined;
  readonly untilNs?: bigint | undefined;
  /** Start with at most the last n records; absent: all. */
  readonly tail?: number | undefined;
  readonly signal: AbortSignal;
}

export interface ContainerLogStream {
  /** The container has a terminal: bytes are sent raw, without frames. */
  readonly tty: boolean;
  readonly records: AsyncIterable<ContainerLogRecord>;
}

/** One line, its newline included when there was one. */
export interface ContainerLogRecord {
  readonly timeNs: bigint;
  readonly stream: 'stdout' | 'stderr';
  readonly data: Uint8Array;
}

/** A live connection to a process. Structurally the runtime's `Attachment` plus `tty`. */
export interface ContainerStream {
  readonly tty: boolean;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** `end()` closes the process's stdin. */
  readonly stdin: Writable;
  /** Detach; the process keeps running. */
  close(): void;
}

export interface EngineExecs {
  /** `body` is the request of `POST /containers/{id}/exec` as sent. Returns the exec's id (64 hex). */
  create(container: string, body: DockerJson): Promise<string>;
  /** Starts it and returns its stdio. Kind `conflict` when it was started before. */
  start(exec: string, options: ExecStartOptions): Promise<ContainerStream>;
  resize(exec: string, size: TerminalSize): Promise<void>;
  /** ExecInspectResponse: `{ID, Running, ExitCode, ProcessConfig, OpenStdin, OpenStdout, OpenStderr, ContainerID, Pid…}`. */
  inspect(exec: string): Promise<DockerJson>;
}

export interface ExecStartOptions {
  readonly tty: boolean;
  readonly size?: TerminalSize | undefined;
}

/** Credentials of `X-Registry-Auth`, decoded. */
export interface RegistryAuth {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  readonly identitytoken?: string | undefined;
  readonly serveraddress?: string | undefined;
}

/** One progress object of a pull, push, load or build: `{status, id, progressDetail, progress, aux, stream, error…}`. */
export type ProgressMessage = DockerJson;

export interface EngineImages {
  /** ImageSummary objects, newest first. The API applies filters. */
  list(options: { readonly all: boolean }): Promise<readonly DockerJson[]>;
  inspect(image: string): Promise<DockerJson>;
  /** `[{Id, Created, CreatedBy, Tags, Size, Comment}]`, newest layer first. */
  history(image: string): Promise<readonly DockerJson[]>;
  tag(image: string, reference: string): Promise<void>;
  /** `[{Untagged}, {Deleted}]`. */
  remove(
    image: string,
    options: { readonly force: boolean; readonly noPrune: boolean },
  ): Promise<readonly DockerJson[]>;
  /** `reference` with tag or digest. Rejects before the first message when the reference is malformed; a failure later is thrown by the iteration. */
  pull(reference: string, options: PullOptions): AsyncIterable<ProgressMessage>;
  push(reference: string, options: PullOptions): AsyncIterable<ProgressMessage>;
  /** A `docker save` or OCI archive. */
  load(tar: Readable, signal: AbortSignal): AsyncIterable<ProgressMessage>;
  /** A root file system tar becomes an image. */
  importTar(tar: Readable, options: ImportOptions): AsyncIterable<ProgressMessage>;
  /** A `docker save` archive of the named images. */
  save(images: readonly string[]): Promise<Readable>;
  /** Removes images no container uses: untagged ones only if `dangling`. */
  prune(options: {
    readonly dangling: boolean;
    readonly keep: (summary: DockerJson) => boolean;
  }): Promise<{ readonly deleted: readonly DockerJson[]; readonly spaceReclaimed: number }>;
  /** DistributionInspect `{Descriptor, Platforms}` straight from the registry; gives up within about 5 s. */
  distribution(reference: string, auth: RegistryAuth | undefined): Promise<DockerJson>;
  /** Resolves when the registry of `serveraddress` (none: Docker Hub) knows the credentials; kind `unauthorized` when not. */
  login(auth: RegistryAuth): Promise<void>;
}

export interface PullOptions {
  readonly auth: RegistryAuth | undefined;
  readonly platform?: string | undefined;
  readonly signal: AbortSignal;
}

export interface ImportOptions {
  readonly reference?: string | undefined;
  readonly message?: string | undefined;
  /** Dockerfile instructions applied to the image's config (`CMD …`, `ENV …`). */
  readonly changes: readonly string[];
  readonly signal: AbortSignal;
}

export interface EngineVolumes {
  /** Volume objects. The API applies filters. */
  list(): Promise<readonly DockerJson[]>;
  inspect(volume: string): Promise<DockerJson>;
  /** `body` is VolumeCreateOptions as sent; returns the Volume, an existing one of the same name included. */
  create(body: DockerJson): Promise<DockerJson>;
  remove(volume: string, options: { readonly force: boolean }): Promise<void>;
  /** Removes volumes no container uses; anonymous ones only unless `all`. */
  prune(options: {
    readonly all: boolean;
    readonly keep: (volume: DockerJson) => boolean;
  }): Promise<PruneResult>;
}

/** Networks of this host only (`bridge`, `host`, `none`, user bridges). Overlay networks live in the cluster. */
export interface EngineNetworks {
  /** Network objects with `Scope: 'local'`. The API applies filters. */
  list(): Promise<readonly DockerJson[]>;
  /** Kind `not-found` for what this host does not have; message `network x not found`. */
  inspect(network: string): Promise<DockerJson>;
  /** `body` is the request of `POST /networks/create` as sent. Returns the id (64 hex). */
  create(body: DockerJson): Promise<{ readonly id: string; readonly warning: string }>;
  remove(network: string): Promise<void>;
  /** `body` is `{Container, EndpointConfig}`; `network` may name an attachable overlay network. */
  connect(network: string, body: DockerJson): Promise<void>;
  /** `body` is `{Container, Force}`. */
  disconnect(network: string, body: DockerJson): Promise<void>;
  prune(keep: (network: DockerJson) => boolean): Promise<readonly string[]>;
}
