export { createHostNetwork } from './host-network.ts';
export type {
  AttachedInterface,
  AttachedSandbox,
  HostNetwork,
  HostPort,
  LocalAttachment,
  LocalNetwork,
} from './network.ts';
