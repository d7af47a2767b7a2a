export {
  Dispatcher,
  type DispatcherOptions,
  type DispatcherStore,
  type DispatcherTiming,
} from './dispatcher.ts';
export { recordNewNode } from './node-record.ts';
