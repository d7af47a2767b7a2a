import { X509Certificate } from 'node:crypto';
import type { DockerJson } from '../engine.ts';

/** The Engine API's TLSInfo of a root certificate; empty parts when there is none yet. */
export function renderTlsInfo(rootPem: string): DockerJson {
  if (rootPem !== known?.rootPem) known = { rootPem, rendered: render(rootPem) };
  return known.rendered;
}

/** A cluster has one root at a time, and every node and info answer shows it. */
let known: { readonly rootPem: string; readonly rendered: DockerJson } | undefined;

function render(rootPem: string): DockerJson {
  if (rootPem === '') return { TrustRoot: '', CertIssuerSubject: '', CertIssuerPublicKey: '' };
  const certificate = new X509Certificate(rootPem);
  const key = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return {
    TrustRoot: rootPem,
    CertIssuerSubject: subjectOf(certificate.raw).toString('base64'),
    CertIssuerPublicKey: key.toString('base64'),
  };
}

const EXPLICIT_VERSION_TAG = 0xa0;
/** serialNumber, signature, issuer and validity stand before subject (RFC 5280 §4.1). */
const FIELDS_BEFORE_SUBJECT = 4;

/** The DER of the subject, which Node gives only as text. */
function subjectOf(der: Buffer): Buffer {
  const certificate = element(der, 0);
  const body = element(der, certificate.content);
  let at = body.content;
  if (der[at] === EXPLICIT_VERSION_TAG) at = element(der, at).end;
  for (let field = 0; field < FIELDS_BEFORE_SUBJECT; field++) at = element(der, at).end;
  return der.subarray(at, element(der, at).end);
}

/** Where the contents of the element at `at` begin and where it ends (X.690 §8.1.3, definite lengths). */
function element(der: Buffer, at: number): { readonly content: number; readonly end: number } {
  const first = der[at + 1] ?? 0;
  if (first < 0x80) return { content: at + 2, end: at + 2 + first };
  const lengthBytes = first & 0x7f;
  const content = at + 2 + lengthBytes;
  return { content, end: content + der.readUIntBE(at + 2, lengthBytes) };
}
