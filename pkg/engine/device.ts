import { statSync } from 'node:fs';

/** Major and minor number of a device node, as makedev(3) packs them. Throws when there is no such file. */
export function deviceNumber(path: string): { readonly major: number; readonly minor: number } {
  const { rdev } = statSync(path);
  return { major: (rdev >> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >> 12) & 0xfff00) };
}
