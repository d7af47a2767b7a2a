import type { Namespace } from './kernel/kernel.ts';
import type { Overlay } from './overlay.ts';
import type { Attachment } from './record.ts';
import type { Sandbox } from './sandbox.ts';

/** Takes away the links by which a container takes part in networks, while other work goes on. */
export async function unplug(...what: Parameters<typeof plugsOf>): Promise<void> {
  const removals = plugsOf(...what).map(([namespace, names]) => namespace.removeLinks(names));
  await Promise.all(removals);
}

/** Before anything else happens; that takes tens of milliseconds for each. */
export function unplugAtOnce(...what: Parameters<typeof plugsOf>): void {
  for (const [namespace, names] of plugsOf(...what)) {
    namespace.apply(names.map((name) => ({ do: 'delete-link', name })));
  }
}

/** Names of the links, by the namespace they are in. */
function plugsOf(
  { namespace }: Sandbox,
  attachments: readonly Attachment[],
  overlays: ReadonlyMap<string, Overlay>,
  host: Namespace,
): readonly (readonly [Namespace, readonly string[]])[] {
  const plugs = new Map<Namespace, readonly string[]>();
  for (const { kind, networkId, link, hostLink, parent } of attachments) {
    const outside = kind === 'overlay' ? overlays.get(networkId)?.namespace : host;
    const [where, name] = parent === undefined ? [outside, hostLink] : [namespace, link];
    if (where) plugs.set(where, [...(plugs.get(where) ?? []), name]);
  }
  return [...plugs];
}
