import { type LogOptions, type LogRecord, readLogFile } from '../runtime/index.ts';
import type { Container } from './container.ts';
import type { Host } from './host.ts';

/** The log of a container, whether it runs or not; with `follow` until it has exited or `signal` fires. */
export function readLogs(
  host: Host,
  container: Container,
  options: LogOptions,
): AsyncIterable<LogRecord> {
  const follow = options.follow === true && container.running;
  const ended = async (): Promise<void> => {
    if (!container.running) return;
    await container.next((change) => change === 'exited' || change === 'removed', options.signal);
  };
  const path = host.records.logPath(container.id);
  return readLogFile(path, { ...options, follow }, () => ended().catch(() => undefined));
}
