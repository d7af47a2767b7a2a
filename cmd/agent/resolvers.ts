import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import type { HostResolver } from '../../pkg/overlaynet/index.ts';

/**
 * What the host's own resolver uses (resolv.conf(5)), for names that are not ours. The file is read again when it was
 * replaced or written: a host learns new servers with a lease or a VPN, and containers must follow.
 */
export function hostResolver(file = '/etc/resolv.conf'): () => HostResolver {
  let seen = '';
  let found = parse('');
  return () => {
    try {
      const { ino, mtimeMs, size } = statSync(file);
      const now = `${ino} ${mtimeMs} ${size}`;
      if (now === seen) return found;
      found = parse(readFileSync(file, 'utf8'));
      seen = now;
    } catch {
      // No file, or one that is being replaced: what was known before still holds.
    }
    return found;
  };
}

function parse(text: string): HostResolver {
  const words = text.split('\n').map((line) => line.trim().split(/\s+/));
  const servers = words.filter(([key]) => key === 'nameserver').map(([, address = '']) => address);
  const search = words.filter(([key]) => key === 'search' || key === 'domain').at(-1);
  return {
    servers: servers.filter((address) => isIP(address) !== 0),
    search: search?.slice(1) ?? [],
    options: words.filter(([key]) => key === 'options').flatMap(([, ...options]) => options),
  };
}
