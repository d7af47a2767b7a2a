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
export type { PeerAddress, Transport, TransportReceiver } from './transport.ts';
