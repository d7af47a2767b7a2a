import type { Directory } from './directory.ts';
import type { LocalNetworks } from './local-networks.ts';
import type { Overlay } from './overlay.ts';
import type { Attachment, SandboxRecord } from './record.ts';

export interface NameContext {
  readonly overlays: ReadonlyMap<string, Overlay>;
  readonly locals: LocalNetworks;
  /** Of all containers of the host. */
  readonly records: readonly SandboxRecord[];
}

/** What a container can ask names of, in the order of its interfaces. The mesh's network has no names. */
export function directoriesOf(
  attachments: readonly Attachment[],
  { overlays, locals, records }: NameContext,
): readonly Directory[] {
  return attachments.flatMap(({ kind, networkId }): readonly Directory[] => {
    const overlay = overlays.get(networkId);
    if (overlay !== undefined) return overlay.table.ingress ? [] : [overlay.directory];
    const network = kind === 'local' ? locals.byId.get(networkId) : undefined;
    return network === undefined ? [] : [locals.directoryOf(network, records)];
  });
}
