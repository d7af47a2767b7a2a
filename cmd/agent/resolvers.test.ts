import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { hostResolver } from './resolvers.ts';

test('resolv.conf is read anew when it changed, and kept while it is gone', () => {
  const folder = mkdtempSync(join(tmpdir(), 'resolvers-'));
  const file = join(folder, 'resolv.conf');
  try {
    const resolver = hostResolver(file);
    expect(resolver()).toEqual({ servers: [], search: [], options: [] });
    writeFileSync(
      file,
      '# home\nnameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch a.example b.example\noptions edns0 timeout:1\n',
    );
    const home = {
      servers: ['192.0.2.1', '2001:db8::1'],
      search: ['a.example', 'b.example'],
      options: ['edns0', 'timeout:1'],
    };
    expect(resolver()).toEqual(home);
    rmSync(file);
    expect(resolver()).toEqual(home);
    writeFileSync(`${file}.new`, 'nameserver 192.0.2.2\n');
    renameSync(`${file}.new`, file);
    expect(resolver()).toEqual({ servers: ['192.0.2.2'], search: [], options: [] });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
