export { Dispatcher } from './dispatcher.ts';
export { recordNewNode } from './node-record.ts';
