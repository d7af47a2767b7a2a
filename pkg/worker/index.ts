export { Attachments } from './attachments.ts';
export { BackSoon } from './session.ts';
export { Worker } from './worker.ts';
