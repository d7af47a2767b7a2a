import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A bug planted by replacing one piece of text. A simulation is good for something if it finds most of them. */
export interface Mutant {
  readonly name: string;
  /** Where it was met before; absent: invented here. */
  readonly history?: string;
  /** From the root of the repository. */
  readonly file: string;
  /** Must occur exactly once. */
  readonly find: string;
  readonly replace: string;
  /** A test that finds what the simulation does not find in a reasonable number of seeds. Absent: the simulation finds it. */
  readonly foundBy?: `${string}.test.ts`;
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Copies `folders` of the repository to a place of their own, plants the bug there and hands the place to `use`. */
export async function withPlanted<T>(
  mutant: Mutant,
  folders: readonly string[],
  use: (root: string) => Promise<T>,
): Promise<T> {
  const copy = mkdtempSync(join(tmpdir(), 'muster-mutant-'));
  try {
    const filter = (path: string): boolean => !path.includes('/node_modules');
    for (const folder of folders) {
      cpSync(join(ROOT, folder), join(copy, folder), { recursive: true, filter });
    }
    cpSync(join(ROOT, 'package.json'), join(copy, 'package.json'));
    symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
    const path = join(copy, mutant.file);
    const pieces = readFileSync(path, 'utf8').split(mutant.find);
    if (pieces.length !== 2) {
      throw new Error(`"${mutant.name}": its text is ${pieces.length - 1} times in ${mutant.file}`);
    }
    writeFileSync(path, pieces.join(mutant.replace));
    return await use(copy);
  } finally {
    rmSync(copy, { recursive: true });
  }
}
