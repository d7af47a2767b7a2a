import { X509Certificate } from 'node:crypto';

/** Of the certificate's life. */
const EARLIEST = 0.5;
const LATEST = 0.8;

/**
 * When to ask for the next certificate, milliseconds since the epoch: between 50 and 80 % of the present one's life,
 * spread by `fraction` in [0, 1) so that nodes which joined together do not come back together.
 */
export function renewalInstant(certificatePem: string, fraction: number): number {
  const certificate = new X509Certificate(certificatePem);
  const from = Date.parse(certificate.validFrom);
  const life = Date.parse(certificate.validTo) - from;
  return Math.round(from + life * (EARLIEST + (LATEST - EARLIEST) * fraction));
}
