import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Kernel } from './kernel/kernel.ts';

const FOLDER = 'netns';

/** Where the namespace of an overlay is pinned. */
export function pinOf(runDir: string, networkId: string): string {
  return join(runDir, FOLDER, networkId);
}

/** Networks that have a pin, of this agent or an earlier one. */
function pinnedOverlays(
  runDir: string,
): readonly { readonly networkId: string; readonly pin: string }[] {
  try {
    const names = readdirSync(join(runDir, FOLDER));
    return names.map((networkId) => ({ networkId, pin: pinOf(runDir, networkId) }));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Namespaces that an earlier agent made for networks which are not wanted any more. */
export function removeForgottenPins(
  kernel: Pick<Kernel, 'removeNamespace'>,
  runDir: string,
  keep: ReadonlySet<string>,
): void {
  for (const { networkId, pin } of pinnedOverlays(runDir)) {
    if (!keep.has(networkId)) kernel.removeNamespace(pin);
  }
}

/** The emptied folder; the pins themselves are the kernel's to remove. */
export function removePins(runDir: string): void {
  rmSync(join(runDir, FOLDER), { recursive: true, force: true });
}
