export { createHostNetwork } from './host-network.ts';
export type {
  AttachedInterface,
  AttachedSandbox,
  HostNetwork,
  HostPort,
  HostResolver,
  LocalAttachment,
  LocalNetwork,
  OverlayAttachment,
} from './network.ts';
