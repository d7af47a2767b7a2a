/** Values that may stand beside a log message. */
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Passed in, never imported. One constant message plus fields named by the vocabulary: `log.info('task assigned',
 * { task, node })`. error: a human must act; warn: degraded but handled; info: a state the operator knows; debug: us.
 */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** The same logger with `fields` on every line. */
  with(fields: LogFields): Logger;
}

export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  with: () => silentLogger,
};

const LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LEVELS)[number];

/** One JSON object per line: `{"time":…,"level":…,"message":…,…fields}`. */
export function jsonLogger(options: {
  readonly level: LogLevel;
  readonly write: (line: string) => void;
  readonly now: () => number;
  readonly fields?: LogFields | undefined;
}): Logger {
  const threshold = LEVELS.indexOf(options.level);
  const line = (level: LogLevel, message: string, fields?: LogFields): void => {
    if (LEVELS.indexOf(level) < threshold) return;
    const time = new Date(options.now()).toISOString();
    options.write(
      `${JSON.stringify({ time, level, message, ...options.fields, ...plain(fields) })}\n`,
    );
  };
  return {
    debug: (message, fields) => line('debug', message, fields),
    info: (message, fields) => line('info', message, fields),
    warn: (message, fields) => line('warn', message, fields),
    error: (message, fields) => line('error', message, fields),
    with: (fields) => jsonLogger({ ...options, fields: { ...options.fields, ...fields } }),
  };
}

/** Errors do not survive JSON by themselves. */
function plain(fields: LogFields | undefined): LogFields {
  if (!fields) return {};
  const entries = Object.entries(fields).map(([key, value]): [string, unknown] => [
    key,
    value instanceof Error ? (value.stack ?? value.message) : value,
  ]);
  return Object.fromEntries(entries);
}

/** Where a program of ours says what it does. Lines that a full disk or a reader that went does not take are lost, no more. */
export function standardOutput(): (line: string) => void {
  process.stdout.on('error', () => undefined);
  return (line) => void process.stdout.write(line);
}
