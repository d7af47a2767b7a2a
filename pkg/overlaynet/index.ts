export { createHostNetwork } from './host-network.ts';
export type {
  AttachedInterface,
  AttachedSandbox,
  HostNetwork,
  HostPort,
  LocalAttachment,
  LocalNetwork,
  OverlayAttachment,
} from './network.ts';
