/** A storage driver for tests: volumes are directories of this machine. It holds its callers to the interface's rules. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { create, type DescMessage, type DescMethod, type MessageShape } from '@bufbuild/protobuf';
import {
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import { Controller, Identity, Node, type VolumeCapability } from '../../pkg/csi/gen/csi.pb.ts';
import { ACCESS_MODE, CONTROLLER_RPC, NODE_RPC, PLUGIN_SERVICE } from '../../pkg/csi/numbers.ts';
import { methodDefinition } from '../../pkg/rpc/index.ts';

interface StoredVolume {
  readonly handle: string;
  readonly name: string;
  readonly mode: number;
  readonly capacity: bigint;
  readonly topology: Readonly<Record<string, string>> | undefined;
  /** Driver's names of nodes it was published to. */
  readonly nodes: Set<string>;
  /** By staging path, and the node it is on. */
  readonly staged: Map<string, string>;
  readonly targets: Map<string, string>;
}

export interface Endpoint {
  /** Driver's name of the node whose socket it is. */
  readonly nodeId: string;
  readonly topology?: Readonly<Record<string, string>> | undefined;
  readonly volumesMax?: number | undefined;
}

class Refusal extends Error {
  readonly code: status;

  constructor(code: status, message: string) {
    super(message);
    this.code = code;
  }
}

const precondition = (text: string): Refusal => new Refusal(status.FAILED_PRECONDITION, text);

/** The storage behind all sockets of one driver. */
export class TestDriver {
  /** Successful calls that changed something, in order: `CreateVolume data`, `NodeStageVolume data n1`… */
  readonly calls: string[] = [];
  /** What callers did that the interface forbids; each was refused too. */
  readonly violations: string[] = [];
  readonly volumes = new Map<string, StoredVolume>();
  readonly secrets: Record<string, string>[] = [];
  readonly #root: string;
  readonly #mounts: boolean;
  readonly #servers: Server[] = [];
  /** Calls of a method that fail before it works. */
  readonly #failures = new Map<string, number>();
  readonly #waiting = new Map<string, Promise<void>>();

  /** `mounts: false`: only directories, for tests that may not mount. */
  constructor(root: string, options: { readonly mounts: boolean }) {
    this.#root = root;
    this.#mounts = options.mounts;
  }

  failNext(method: string, times: number): void {
    this.#failures.set(method, times);
  }

  /** Calls of the method are carried out and answered when what this returns is called. */
  hold(method: string): () => void {
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#waiting.set(method, held);
    return (): void => {
      this.#waiting.delete(method);
      release();
    };
  }

  /** Where the volume's files are. */
  directory(name: string): string {
    return join(this.#root, `vol-${name}`);
  }

  async serve(socket: string, endpoint: Endpoint): Promise<Server> {
    const server = new Server();
    for (const [method, handle] of this.#methods(endpoint))
      register(server, method, (request) => this.#answer(method.name, () => handle(request)));
    rmSync(socket, { force: true });
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
        error ? reject(error) : resolve(),
      );
    });
    this.#servers.push(server);
    return server;
  }

  /** Ends all sockets and what is still mounted. */
  close(): void {
    for (const server of this.#servers) server.forceShutdown();
    for (const { targets, staged } of this.volumes.values()) {
      for (const path of [...targets.keys(), ...staged.keys()]) {
        // Who used it may have unmounted it.
        if (this.#mounts) spawnSync('umount', [path]);
      }
    }
  }

  async #answer(method: string, handle: () => object): Promise<object> {
    await this.#waiting.get(method);
    const left = this.#failures.get(method) ?? 0;
    if (left > 0) {
      this.#failures.set(method, left - 1);
      throw new Refusal(status.INTERNAL, 'the storage is away');
    }
    try {
      return handle();
    } catch (error) {
      if (error instanceof Refusal && error.code === status.FAILED_PRECONDITION) {
        this.violations.push(`${method}: ${error.message}`);
      }
      throw error;
    }
  }

  *#methods(endpoint: Endpoint): Iterable<readonly [DescMethod, (request: never) => object]> {
    const { method: identity } = Identity;
    yield [identity.getPluginInfo, (): object => ({ name: 'test.muster', vendorVersion: '1' })];
    yield [identity.probe, (): object => ({ ready: true })];
    yield [
      identity.getPluginCapabilities,
      (): object => ({
        capabilities: [PLUGIN_SERVICE.controller, PLUGIN_SERVICE.accessibilityConstraints].map(
          (type) => ({ type: { case: 'service', value: { type } } }),
        ),
      }),
    ];
    yield* this.#controller();
    yield* this.#node(endpoint);
  }

  *#controller(): Iterable<readonly [DescMethod, (request: never) => object]> {
    const { method } = Controller;
    const rpcs = [CONTROLLER_RPC.createDelete, CONTROLLER_RPC.publishUnpublish];
    yield [
      method.controllerGetCapabilities,
      (): object => ({
        capabilities: rpcs.map((type) => ({ type: { case: 'rpc', value: { type } } })),
      }),
    ];
    yield [
      method.createVolume,
      (request: Request<typeof method.createVolume>): object => this.#create(request),
    ];
    yield [
      method.deleteVolume,
      ({ volumeId }: Request<typeof method.deleteVolume>): object => this.#delete(volumeId),
    ];
    yield [
      method.controllerPublishVolume,
      (request: Request<typeof method.controllerPublishVolume>): object => this.#publish(request),
    ];
    yield [
      method.controllerUnpublishVolume,
      (request: Request<typeof method.controllerUnpublishVolume>): object =>
        this.#unpublish(request),
    ];
    yield [method.validateVolumeCapabilities, (): object => ({ confirmed: {} })];
  }

  *#node(endpoint: Endpoint): Iterable<readonly [DescMethod, (request: never) => object]> {
    const { method } = Node;
    const { nodeId, topology, volumesMax = 0 } = endpoint;
    yield [
      method.nodeGetInfo,
      (): object => ({
        nodeId,
        maxVolumesPerNode: BigInt(volumesMax),
        ...(topology && { accessibleTopology: { segments: topology } }),
      }),
    ];
    yield [
      method.nodeGetCapabilities,
      (): object => ({
        capabilities: [{ type: { case: 'rpc', value: { type: NODE_RPC.stageUnstage } } }],
      }),
    ];
    yield [
      method.nodeStageVolume,
      (request: Request<typeof method.nodeStageVolume>): object => this.#stage(request, nodeId),
    ];
    yield [
      method.nodeUnstageVolume,
      (request: Request<typeof method.nodeUnstageVolume>): object => this.#unstage(request, nodeId),
    ];
    yield [
      method.nodePublishVolume,
      (request: Request<typeof method.nodePublishVolume>): object =>
        this.#mountTarget(request, nodeId),
    ];
    yield [
      method.nodeUnpublishVolume,
      (request: Request<typeof method.nodeUnpublishVolume>): object =>
        this.#unmountTarget(request, nodeId),
    ];
  }

  #get(handle: string): StoredVolume {
    const volume = this.volumes.get(handle);
    if (!volume) throw new Refusal(status.NOT_FOUND, `no volume ${handle}`);
    return volume;
  }

  #create(request: Request<typeof Controller.method.createVolume>): object {
    const { name, volumeCapabilities, capacityRange, parameters, accessibilityRequirements } =
      request;
    if (name === '' || volumeCapabilities.length === 0) {
      throw new Refusal(status.INVALID_ARGUMENT, 'a volume needs a name and a capability');
    }
    if (parameters['refuse'] !== undefined)
      throw new Refusal(status.INVALID_ARGUMENT, parameters['refuse']);
    this.secrets.push({ ...request.secrets });
    const handle = `vol-${name}`;
    const mode = modeOf(volumeCapabilities[0]);
    const capacity = capacityRange?.requiredBytes ?? 0n;
    const known = this.volumes.get(handle);
    if (known && (known.mode !== mode || known.capacity !== capacity)) {
      throw new Refusal(status.ALREADY_EXISTS, `volume ${name} exists and is another one`);
    }
    const topology = accessibilityRequirements?.requisite[0]?.segments;
    if (!known) {
      mkdirSync(this.directory(name), { recursive: true });
      this.volumes.set(handle, {
        handle,
        name,
        mode,
        capacity,
        topology,
        nodes: new Set(),
        staged: new Map(),
        targets: new Map(),
      });
      this.calls.push(`CreateVolume ${name}`);
    }
    const accessibleTopology = topology ? [{ segments: topology }] : [];
    return {
      volume: {
        volumeId: handle,
        capacityBytes: capacity,
        volumeContext: { made: 'by test' },
        accessibleTopology,
      },
    };
  }

  #delete(handle: string): object {
    const volume = this.volumes.get(handle);
    if (!volume) return {};
    if (volume.nodes.size > 0) throw precondition(`volume ${volume.name} is published`);
    rmSync(this.directory(volume.name), { recursive: true });
    this.volumes.delete(handle);
    this.calls.push(`DeleteVolume ${volume.name}`);
    return {};
  }

  #publish({
    volumeId,
    nodeId,
  }: Request<typeof Controller.method.controllerPublishVolume>): object {
    const volume = this.#get(volumeId);
    const single =
      volume.mode === ACCESS_MODE.singleNodeWriter || volume.mode === ACCESS_MODE.singleNodeReader;
    if (volume.nodes.has(nodeId)) return { publishContext: { device: volumeId } };
    if (single && volume.nodes.size > 0) {
      throw precondition(
        `volume ${volume.name} is published at ${[...volume.nodes].join()} and cannot be at ${nodeId}`,
      );
    }
    volume.nodes.add(nodeId);
    this.calls.push(`ControllerPublishVolume ${volume.name} ${nodeId}`);
    return { publishContext: { device: volumeId } };
  }

  #unpublish({
    volumeId,
    nodeId,
  }: Request<typeof Controller.method.controllerUnpublishVolume>): object {
    const volume = this.volumes.get(volumeId);
    if (!volume?.nodes.has(nodeId)) return {};
    if ([...volume.staged.values()].includes(nodeId))
      throw precondition(`volume ${volume.name} is staged at ${nodeId}`);
    volume.nodes.delete(nodeId);
    this.calls.push(`ControllerUnpublishVolume ${volume.name} ${nodeId}`);
    return {};
  }

  #stage(request: Request<typeof Node.method.nodeStageVolume>, nodeId: string): object {
    const { volumeId, stagingTargetPath: path, publishContext, volumeContext } = request;
    const volume = this.#get(volumeId);
    if (!volume.nodes.has(nodeId))
      throw precondition(`volume ${volume.name} is not published at ${nodeId}`);
    if (publishContext['device'] !== volumeId || volumeContext['made'] !== 'by test') {
      throw precondition(`volume ${volume.name}: wrong context`);
    }
    if (!existsSync(path)) throw precondition(`staging path ${path} is not there`);
    if (volume.staged.has(path)) return {};
    this.#mount(this.directory(volume.name), path);
    volume.staged.set(path, nodeId);
    this.calls.push(`NodeStageVolume ${volume.name} ${nodeId}`);
    return {};
  }

  #mountTarget(request: Request<typeof Node.method.nodePublishVolume>, nodeId: string): object {
    const { volumeId, stagingTargetPath: staging, targetPath: target } = request;
    const volume = this.#get(volumeId);
    if (!volume.staged.has(staging))
      throw precondition(`volume ${volume.name} is not staged at ${staging}`);
    if (volume.targets.has(target)) return {};
    mkdirSync(target, { recursive: true });
    this.#mount(staging, target);
    volume.targets.set(target, nodeId);
    this.calls.push(`NodePublishVolume ${volume.name} ${nodeId}`);
    return {};
  }

  #unmountTarget(request: Request<typeof Node.method.nodeUnpublishVolume>, nodeId: string): object {
    const { volumeId, targetPath: target } = request;
    const volume = this.#get(volumeId);
    if (!volume.targets.has(target)) return {};
    this.#unmount(target);
    rmdirSync(target);
    volume.targets.delete(target);
    this.calls.push(`NodeUnpublishVolume ${volume.name} ${nodeId}`);
    return {};
  }

  #unstage(request: Request<typeof Node.method.nodeUnstageVolume>, nodeId: string): object {
    const { volumeId, stagingTargetPath: path } = request;
    const volume = this.#get(volumeId);
    if ([...volume.targets.values()].includes(nodeId))
      throw precondition(`volume ${volume.name} is mounted at ${nodeId}`);
    if (!volume.staged.has(path)) return {};
    this.#unmount(path);
    volume.staged.delete(path);
    this.calls.push(`NodeUnstageVolume ${volume.name} ${nodeId}`);
    return {};
  }

  #mount(source: string, target: string): void {
    if (this.#mounts) execFileSync('mount', ['--bind', source, target]);
  }

  #unmount(path: string): void {
    if (this.#mounts) execFileSync('umount', [path]);
  }
}

type Request<M> = M extends DescMethod & { readonly input: infer I extends DescMessage }
  ? MessageShape<I>
  : never;

function modeOf(capability: VolumeCapability | undefined): number {
  return capability?.accessMode?.mode ?? 0;
}

function register(
  server: Server,
  method: DescMethod,
  handle: (request: never) => Promise<object>,
): void {
  const { path, requestDeserialize, responseSerialize } = methodDefinition(method);
  const unary = (call: ServerUnaryCall<never, object>, callback: sendUnaryData<object>): void => {
    handle(call.request).then(
      (answer) => callback(null, create(method.output, answer as Record<string, unknown>)),
      (error: unknown) => {
        const { code = status.INTERNAL, message } = error as Partial<Refusal> & Error;
        callback({ code, details: message });
      },
    );
  };
  server.register(
    path,
    unary as never,
    responseSerialize as never,
    requestDeserialize as never,
    'unary',
  );
}
