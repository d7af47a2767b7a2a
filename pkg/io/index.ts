export { type Clock, sleep, systemClock, type Timer } from './clock.ts';
export { jsonLogger, type LogFields, type Logger, type LogLevel, silentLogger } from './log.ts';
export { newHexId, newObjectId, newRaftId, type Random, systemRandom } from './random.ts';
