export { type Clock, sleep, systemClock, type Timer } from './clock.ts';
export { shortDigest } from './digest.ts';
export { type Disk, type DiskFile, type OpenMode, systemDisk } from './disk.ts';
export { waitAndAnswer } from './engine-flags.ts';
export { readJson, writeFileAtomic } from './files.ts';
export {
  jsonLogger,
  type LogFields,
  type Logger,
  type LogLevel,
  silentLogger,
  standardOutput,
} from './log.ts';
export { type OptionRow, type OptionValues, parseOptions, renderOptions } from './options.ts';
export { goFirst } from './priority.ts';
export { processStartTime } from './process-stat.ts';
export { newHexId, newObjectId, newRaftId, type Random, systemRandom } from './random.ts';
