export { renderHosts, renderResolvConf } from './dns.ts';
export { createHostNetwork } from './host-network.ts';
export type {
  AttachedInterface,
  AttachedSandbox,
  HostIdentity,
  HostNetwork,
  HostNetworkOptions,
  HostPort,
  LocalAttachment,
  LocalNetwork,
  LocalNetworkSpec,
  OverlayAttachment,
  RepairReport,
  SandboxSpec,
} from './network.ts';
