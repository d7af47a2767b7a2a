import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const FOLDER = 'netns';

/** Where the namespace of an overlay is pinned. */
export function pinOf(runDir: string, networkId: string): string {
  return join(runDir, FOLDER, networkId);
}

/** Networks that have a pin, of this agent or an earlier one. */
export function pinnedOverlays(runDir: string): readonly string[] {
  try {
    return readdirSync(join(runDir, FOLDER));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** The emptied folder; the pins themselves are the kernel's to remove. */
export function removePins(runDir: string): void {
  rmSync(join(runDir, FOLDER), { recursive: true, force: true });
}
