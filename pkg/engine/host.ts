import type { ImageStore, RegistryOptions } from '../image/index.ts';
import type { Clock, Logger, Random } from '../io/index.ts';
import type { AttachmentWish, NetworkId } from '../model/index.ts';
import type { HostNetwork } from '../overlaynet/index.ts';
import type { Runtime } from '../runtime/index.ts';
import type { Registry } from './container.ts';
import type { EventLog } from './events.ts';
import type { LocalNetworks } from './local-networks.ts';
import type { RecordStore } from './record-store.ts';
import type { VolumeStore } from './volumes.ts';

/** How standalone containers come onto networks of the cluster. */
export interface ClusterNetworks {
  /** False while the host is in no cluster: then there are local networks only. */
  readonly available: boolean;
  /**
   * Resolves when the addresses are given and this host's kernel knows the networks.
   * @throws ClusterError `not-found`, `forbidden` when it is not attachable, `unavailable`
   */
  attach(
    wishes: readonly AttachmentWish[],
  ): Promise<readonly { readonly networkId: NetworkId; readonly address: string }[]>;
  /** A container that lives already holds this; said again after a restart. */
  keep(wish: AttachmentWish): void;
  /** Of one network, or of all. Unknown ones are ignored. */
  release(containerId: string, network?: string): void;
  /** Id of a network by the name that the container uses. */
  networkIdOf(containerId: string, network: string): NetworkId | undefined;
}

export interface EngineOptions {
  /** Survives reboots: images, containers, volumes. Absolute. */
  readonly dataDir: string;
  /** Survives agent restarts, not reboots; secrets lie here. Absolute. */
  readonly runDir: string;
  readonly runtime: Runtime;
  /** Absent: containers have `host` or `none` networking only. */
  readonly network?: HostNetwork | undefined;
  /** Absent: local networks only. */
  readonly cluster?: ClusterNetworks | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  readonly log?: Logger | undefined;
  readonly registry?: RegistryOptions | undefined;
  /** Cgroup below which all containers are; the runtime's default when absent. */
  readonly cgroupParent?: string | undefined;
  /** Shown by `docker info` and to `{{.Node.Hostname}}` of standalone containers. */
  readonly hostname: string;
  readonly version: string;
  /** Labels of the engine, `key=value`. */
  readonly labels?: readonly string[] | undefined;
  /** Of the default `bridge` network; a free one when absent. */
  readonly bridgeSubnet?: string | undefined;
}

/** Everything the parts of the engine share. */
export interface Host {
  readonly options: EngineOptions;
  readonly runtime: Runtime;
  readonly network: HostNetwork | undefined;
  readonly cluster: ClusterNetworks | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly images: ImageStore;
  readonly records: RecordStore;
  readonly registry: Registry;
  readonly volumes: VolumeStore;
  readonly networks: LocalNetworks;
  readonly events: EventLog;
}
