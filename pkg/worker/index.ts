export { Attachments } from './attachments.ts';
export { connectManager, type ManagerLink } from './manager-link.ts';
export { keepSession } from './session.ts';
export { type RecordFile, recordFile } from './task-db.ts';
export { type NodeDrivers, Volumes } from './volumes.ts';
export { BackSoon } from './watchdog.ts';
export { Worker } from './worker.ts';
