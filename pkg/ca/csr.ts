import { ClusterError, errorMessage, type NodeRole } from '../model/index.ts';
import type { RootAuthority } from './root.ts';
import { CA_CURVE, newKeyPair, pkcs8Pem, privateKeyFromPem, randomSerial, x509 } from './x509.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const NODE_CERTIFICATE_DAYS = 90;
const BACKDATE_MS = 60 * 60 * 1000;
/** Longest request that is looked at. */
const CSR_BYTES_MAX = 16 * 1024;

/** A new key, which never leaves the machine, and the request to certify it. */
export async function createCertificateRequest(): Promise<{
  readonly csrPem: string;
  readonly keyPem: string;
}> {
  const keys = await newKeyPair();
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: ['muster-node'] }],
    keys,
    signingAlgorithm: CA_CURVE,
  });
  return { csrPem: request.toString('pem'), keyPem: await pkcs8Pem(keys.privateKey) };
}

export interface NodeCertificateOptions {
  readonly root: RootAuthority;
  readonly csrPem: string;
  readonly nodeId: string;
  readonly role: NodeRole;
  readonly clusterId: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly days?: number | undefined;
}

/**
 * Certifies the request's key as node CN=`nodeId`, OU=`swarm-worker|swarm-manager`, O=`clusterId` for 90 days.
 * Nothing but the key is taken from the request. Throws `invalid` when its signature is wrong.
 */
export async function issueNodeCertificate(options: NodeCertificateOptions): Promise<string> {
  const request = await readRequest(options.csrPem);
  const issuer = new x509.X509Certificate(options.root.certificatePem);
  const names = [options.nodeId, `swarm-${options.role}`];
  if (options.role === 'manager') names.push('swarm-ca');
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial(),
    subject: [
      { CN: [options.nodeId] },
      { OU: [`swarm-${options.role}`] },
      { O: [options.clusterId] },
    ],
    issuer: issuer.subject,
    notBefore: new Date(options.now - BACKDATE_MS),
    notAfter: new Date(options.now + (options.days ?? NODE_CERTIFICATE_DAYS) * DAY_MS),
    publicKey: request.publicKey,
    signingKey: await privateKeyFromPem(options.root.keyPem),
    signingAlgorithm: CA_CURVE,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([
        x509.ExtendedKeyUsage.serverAuth,
        x509.ExtendedKeyUsage.clientAuth,
      ]),
      new x509.SubjectAlternativeNameExtension(
        names.map((value) => ({ type: 'dns' as const, value })),
      ),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return certificate.toString('pem');
}

async function readRequest(csrPem: string): Promise<x509.Pkcs10CertificateRequest> {
  if (csrPem.length > CSR_BYTES_MAX) {
    throw new ClusterError('invalid', 'invalid certificate request: too long');
  }
  try {
    const request = new x509.Pkcs10CertificateRequest(csrPem);
    if (await request.verify()) return request;
  } catch (error) {
    throw badRequest(error);
  }
  throw new ClusterError('invalid', 'invalid certificate request: its signature does not match');
}

function badRequest(cause: unknown): ClusterError {
  const message = `invalid certificate request: ${errorMessage(cause)}`;
  return new ClusterError('invalid', message, { cause });
}
