import { readFileSync } from 'node:fs';

/** What the host's own resolver uses (resolv.conf(5)): given to containers for names that are not ours. */
export function hostResolvers(file = '/etc/resolv.conf'): {
  readonly servers: readonly string[];
  readonly search: readonly string[];
} {
  let text = '';
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    // A host without a resolver: containers then only know our own names.
  }
  const words = text.split('\n').map((line) => line.trim().split(/\s+/));
  const servers = words.filter(([key]) => key === 'nameserver').map(([, address = '']) => address);
  const search = words.filter(([key]) => key === 'search' || key === 'domain').at(-1);
  return {
    servers: servers.filter((address) => address.includes('.')),
    search: search?.slice(1) ?? [],
  };
}
