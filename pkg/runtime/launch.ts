import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { caused, RuntimeError } from './runtime.ts';
import { readStatus, type ShimStatus } from './status.ts';

/**
 * Runs `muster-init` on a directory and returns once the process waits for its start. The shim is a session of its
 * own and outlives us. Rejects with `failed` and the kernel's reason; nothing runs then.
 */
export async function launch(
  initPath: string,
  verb: 'run' | 'exec',
  dir: string,
  plan: Uint8Array,
): Promise<ShimStatus> {
  writeFileSync(`${dir}/plan`, plan, { mode: 0o600 });
  const report = await report3(initPath, [verb, dir]);
  const status = report === 'ok' ? readStatus(dir) : undefined;
  if (!status) throw failure(report || 'muster-init ended without a report');
  return status;
}

function report3(initPath: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(initPath, args, {
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
      env: {},
      cwd: '/',
    });
    const pipe = child.stdio[3];
    let text = '';
    child.once('error', (error) => {
      reject(caused(error, 'failed', `cannot run ${initPath}: ${error.message}`));
    });
    pipe?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    pipe?.once('close', () => resolve(text));
    child.unref();
  });
}

/** Sorts a shim's error text into Docker's exit code classes. */
export function failure(text: string): RuntimeError {
  const message = `unable to start container process: ${text}`;
  if (!text.startsWith('exec')) return new RuntimeError('failed', message);
  const missing = /not found in \$PATH|no such file or directory/.test(text);
  return new RuntimeError(missing ? 'exec-not-found' : 'exec-denied', message);
}
