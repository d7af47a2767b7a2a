export { Attachments } from './attachments.ts';
export { connectManager, type ManagerLink } from './manager-link.ts';
export { BackSoon } from './session.ts';
export { type RecordFile, recordFile } from './task-db.ts';
export { Worker } from './worker.ts';
