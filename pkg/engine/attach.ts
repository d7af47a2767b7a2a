/** Streams of a container's process, also before it runs. */
import { PassThrough, type Readable, type Writable } from 'node:stream';
import type { Attachment } from '../runtime/index.ts';
import type { Container } from './container.ts';
import type { Host } from './host.ts';
import type { Supervisor } from './supervisor.ts';

export interface ContainerStream {
  readonly tty: boolean;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** `end()` closes the process's stdin. */
  readonly stdin: Writable;
  /** Detach; the process keeps running. */
  close(): void;
}

/** Attaches now, or to the first byte of the next start. */
export async function attach(
  host: Host,
  supervisor: Supervisor,
  container: Container,
): Promise<ContainerStream> {
  const tty = container.record.config.Tty ?? false;
  if (container.running) return streamOf(await host.runtime.attach(container.id), tty);
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const stdin = new PassThrough();
  let live: Attachment | undefined;
  const end = (): void => {
    stdout.end();
    stderr.end();
  };
  const forgetStart = supervisor.beforeNextStart(container, async () => {
    live = await host.runtime.attach(container.id);
    live.stdout.pipe(stdout);
    live.stderr.pipe(stderr);
    stdin.pipe(live.stdin);
    live.stdin.on('error', () => stdin.resume()); // the program closed its stdin: the rest goes nowhere
  });
  const forgetRemoval = container.listen((change) => {
    if (change === 'removed') end();
  });
  return {
    tty,
    stdout,
    stderr,
    stdin,
    close: (): void => {
      forgetStart();
      forgetRemoval();
      live?.close();
      end();
      stdin.destroy();
    },
  };
}

export function streamOf(attachment: Attachment, tty: boolean): ContainerStream {
  const { stdout, stderr, stdin } = attachment;
  return { tty, stdout, stderr, stdin, close: () => attachment.close() };
}
