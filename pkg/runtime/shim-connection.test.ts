import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { shimEnded } from './shim-connection.ts';

it('a shim that ends before it accepts the connection has ended', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'muster-shim-'));
  try {
    const shim = createServer();
    await new Promise<void>((resolve) => shim.listen(join(dir, 'shim.sock'), resolve));
    // In one turn: the kernel queues the connection, and breaks it (ECONNRESET) with the socket that listened.
    const ended = shimEnded(dir);
    shim.close();
    await expect(ended).resolves.toBeUndefined();
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});
