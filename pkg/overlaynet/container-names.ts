import type { Directory } from './directory.ts';
import type { DnsSources } from './dns.ts';
import type { LocalNetworks } from './local-networks.ts';
import type { HostResolver } from './network.ts';
import type { Overlay } from './overlay.ts';
import type { Attachment, SandboxRecord } from './record.ts';
import { defaultGatewaysOf } from './wiring.ts';

export interface NameContext {
  readonly overlays: ReadonlyMap<string, Overlay>;
  readonly locals: LocalNetworks;
  /** Of all containers of the host. */
  readonly records: () => readonly SandboxRecord[];
  readonly gatewaySubnet: string;
  /** The host's. */
  readonly resolver: () => HostResolver;
}

/** What one container's resolver answers from, as things are when a question comes. */
export function dnsSources(record: () => SandboxRecord, context: NameContext): DnsSources {
  return {
    directories: () => directoriesOf(record().attachments, context),
    resolvers: () => resolversOf(record(), context),
  };
}

/** A container without a way out asks nobody outside. */
function resolversOf(
  { attachments, spec }: SandboxRecord,
  context: NameContext,
): readonly string[] {
  const { locals, gatewaySubnet, resolver } = context;
  const host = { localNetworks: locals.byId, gatewaySubnet, gatewaySubnet6: undefined };
  if (defaultGatewaysOf(attachments, host).length === 0) return [];
  const own = spec.dns?.servers ?? [];
  return own.length > 0 ? own : resolver().servers;
}

/** In the order of the container's interfaces. The mesh's network has no names. */
function directoriesOf(
  attachments: readonly Attachment[],
  { overlays, locals, records }: NameContext,
): readonly Directory[] {
  return attachments.flatMap(({ kind, networkId }): readonly Directory[] => {
    const overlay = overlays.get(networkId);
    if (overlay !== undefined) return overlay.table.ingress ? [] : [overlay.directory];
    const network = kind === 'local' ? locals.byId.get(networkId) : undefined;
    return network === undefined ? [] : [locals.directoryOf(network, records())];
  });
}
