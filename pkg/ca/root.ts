import { createHash, X509Certificate } from 'node:crypto';
import { CA_CURVE, newKeyPair, pkcs8Pem, randomSerial, x509 } from './x509.ts';

const ROOT_YEARS = 20;
/** Clocks of joining machines may be behind. */
const BACKDATE_MS = 60 * 60 * 1000;

/** The cluster's root: whoever holds the key can make any node. Lives in the store, on managers only. */
export interface RootAuthority {
  readonly certificatePem: string;
  readonly keyPem: string;
}

/** A self-signed P-256 root of the cluster `clusterId`, valid for 20 years from `now` (milliseconds since the epoch). */
export async function createRoot(options: {
  readonly clusterId: string;
  readonly now: number;
}): Promise<RootAuthority> {
  const keys = await newKeyPair();
  const notAfter = new Date(options.now);
  notAfter.setUTCFullYear(notAfter.getUTCFullYear() + ROOT_YEARS);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: randomSerial(),
    name: [{ CN: ['swarm-ca'] }, { O: [options.clusterId] }],
    notBefore: new Date(options.now - BACKDATE_MS),
    notAfter,
    keys,
    signingAlgorithm: CA_CURVE,
    extensions: [
      new x509.BasicConstraintsExtension(true, 1, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificatePem: certificate.toString('pem'), keyPem: await pkcs8Pem(keys.privateKey) };
}

const DIGEST_LENGTH = 50;

/** SHA-256 of the certificate's DER bytes as 50 digits of base 36: the middle part of a join token. */
export function rootDigest(certificatePem: string): string {
  const der = new X509Certificate(certificatePem).raw;
  const digest = createHash('sha256').update(der).digest('hex');
  return BigInt(`0x${digest}`).toString(36).padStart(DIGEST_LENGTH, '0');
}
