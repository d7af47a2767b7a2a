import { dirname } from 'node:path';

/** A path below a root, one component further; `..` stops at the root. */
export function step(at: string, part: string): string {
  if (part === '' || part === '.') return at;
  if (part === '..') return dirname(at) === '.' ? '' : dirname(at);
  return at === '' ? part : `${at}/${part}`;
}
