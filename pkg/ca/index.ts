export {
  type AuthorityState,
  CertificateAuthority,
  type CertificateAuthorityOptions,
  type IssuedIdentity,
} from './authority.ts';
export {
  createCertificateRequest,
  issueNodeCertificate,
  type NodeCertificateOptions,
} from './csr.ts';
export {
  identityOf,
  loadIdentity,
  type NodeIdentity,
  removeIdentity,
  saveIdentity,
} from './identity.ts';
export { renewalInstant } from './renew.ts';
export { createRoot, type RootAuthority, rootDigest } from './root.ts';
export {
  checkRoot,
  createJoinToken,
  type JoinTokens,
  type ParsedJoinToken,
  parseJoinToken,
  roleOfToken,
} from './token.ts';
