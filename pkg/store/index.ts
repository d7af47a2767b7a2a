export type {
  Batch,
  CallOptions,
  Committed,
  Member,
  MemberStatus,
  Store,
  StoreOptions,
  Tuning,
  UpdateOptions,
} from './contract.ts';
export { type ControlLoopOptions, runControlLoop } from './control-loop.ts';
export { createStore } from './store.ts';
export type { PeerAddress, Transport, TransportReceiver } from './transport.ts';
