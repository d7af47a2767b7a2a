export {
  type AuthorityState,
  CertificateAuthority,
} from './authority.ts';
export { createCertificateRequest, issueNodeCertificate } from './csr.ts';
export {
  identityOf,
  loadIdentity,
  type NodeIdentity,
  removeIdentity,
  saveIdentity,
} from './identity.ts';
export { renewalInstant } from './renew.ts';
export { createRoot, type RootAuthority } from './root.ts';
export { checkRoot, createJoinToken, parseJoinToken } from './token.ts';
