import type { SandboxContext } from './desired.ts';
import type { HostSide } from './host-side.ts';
import type { LocalNetworks } from './local-networks.ts';
import type { HostIdentity, HostNetworkOptions } from './network.ts';
import type { Overlay } from './overlay.ts';
import type { SandboxRecord } from './record.ts';
import type { Sandbox } from './sandbox.ts';
import type { Underlay } from './underlay.ts';
import {
  type Description,
  defaultGatewaysOf,
  type WiringContext,
  wiringContext,
} from './wiring.ts';

/** What a host consists of, as it is at the moment. */
interface HostParts {
  readonly options: HostNetworkOptions;
  readonly host: HostSide;
  readonly underlay: Underlay;
  readonly overlays: ReadonlyMap<string, Overlay>;
  readonly sandboxes: ReadonlyMap<string, Sandbox>;
  readonly locals: LocalNetworks;
  readonly self: () => HostIdentity;
  /** Containers of the agent before that nobody has spoken for yet. */
  readonly pending: () => readonly SandboxRecord[];
}

/** What of the host those need to know who say how a part of it should be. */
export class Contexts {
  readonly #parts: HostParts;

  constructor(parts: HostParts) {
    this.#parts = parts;
  }

  sandbox({ attachments }: Sandbox): SandboxContext {
    const { overlays: all, options, host, underlay } = this.#parts;
    const overlays = attachments.flatMap(({ networkId }) => all.get(networkId) ?? []);
    const ingress = overlays.find(({ table }) => table.ingress)?.table;
    const ingressTable = options.ingressMode === 'masquerade' ? undefined : ingress;
    const defaultGateways = defaultGatewaysOf(attachments, this.description());
    const mtuOf = (id: string): number | undefined => underlay.mtuOfNetwork(id);
    return { host: host.namespace, attachments, defaultGateways, ingressTable, mtuOf };
  }

  hub(overlay: Overlay): Parameters<Overlay['reconcile']>[0] {
    const { self, host, underlay, sandboxes, pending } = this.#parts;
    return {
      ...self(),
      host: host.namespace,
      mtu: underlay.mtuOf(overlay.table),
      checksumOffload: underlay.checksumOffload,
      sandboxes: [...sandboxes.values()],
      prune: pending().length === 0,
    };
  }

  wiring(): WiringContext {
    const { sandboxes, overlays, pending } = this.#parts;
    const records = [...sandboxes.values()].map(({ record }) => record);
    const tables = [...overlays.values()].map(({ table }) => table);
    return wiringContext(this.description(), tables, [...records, ...pending()]);
  }

  description(): Description {
    const { locals, host, options } = this.#parts;
    return {
      localNetworks: locals.byId,
      gatewaySubnet: host.gatewaySubnet,
      gatewaySubnet6: host.gatewaySubnet6,
      resolver: options.resolver(),
    };
  }
}
