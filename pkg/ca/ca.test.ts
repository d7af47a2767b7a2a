import { createPublicKey, X509Certificate } from 'node:crypto';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { NodeId, NodeRole } from '../model/index.ts';
import { CertificateAuthority } from './authority.ts';
import { createCertificateRequest, issueNodeCertificate } from './csr.ts';
import { identityOf, loadIdentity, removeIdentity, saveIdentity } from './identity.ts';
import { renewalInstant } from './renew.ts';
import { createRoot, type RootAuthority, rootDigest } from './root.ts';
import { checkRoot, createJoinToken, parseJoinToken, roleOfToken } from './token.ts';

const CLUSTER = 'c'.repeat(25);
const NODE = 'n'.repeat(25);
const NOW = Date.now();
const DAY_MS = 24 * 60 * 60 * 1000;
const WORKER_SECRET = 'w'.repeat(25);
const MANAGER_SECRET = 'm'.repeat(25);

let directory: string;
let root: RootAuthority;
let foreign: RootAuthority;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'muster-ca-'));
  root = await createRoot({ clusterId: CLUSTER, now: NOW });
  foreign = await createRoot({ clusterId: CLUSTER, now: NOW });
});
afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

describe('root', () => {
  it('is a P-256 authority of its cluster for twenty years', () => {
    const certificate = new X509Certificate(root.certificatePem);
    expect(certificate.ca).toBe(true);
    expect(certificate.subject).toContain(`O=${CLUSTER}`);
    expect(createPublicKey(root.certificatePem).asymmetricKeyDetails?.namedCurve).toBe(
      'prime256v1',
    );
    expect(new Date(certificate.validTo).getUTCFullYear()).toBe(
      new Date(NOW).getUTCFullYear() + 20,
    );
  });
});

describe('join token', () => {
  it('has the shape of a Docker Swarm token and pins the root', () => {
    const token = createJoinToken(root.certificatePem, WORKER_SECRET);
    expect(token).toMatch(/^SWMTKN-1-[0-9a-z]{50}-w{25}$/);
    expect(parseJoinToken(token)).toEqual({
      rootDigest: rootDigest(root.certificatePem),
      secret: WORKER_SECRET,
    });
    expect(() => checkRoot(token, root.certificatePem)).not.toThrow();
    expect(() => checkRoot(token, foreign.certificatePem)).toThrow(/does not match fingerprint/);
  });

  it('says what is wrong with a bad one', () => {
    expect(() => parseJoinToken('hello')).toThrow('invalid join token');
    expect(() => parseJoinToken(`SWMTKN-2-${'a'.repeat(50)}-${'b'.repeat(25)}`)).toThrow(
      /version 2 is not supported/,
    );
    expect(() => parseJoinToken(`SWMTKN-1-${'a'.repeat(49)}-${'b'.repeat(25)}`)).toThrow(/cut/);
  });

  it('gives its role and no other token gives one', () => {
    const tokens = {
      worker: createJoinToken(root.certificatePem, WORKER_SECRET),
      manager: createJoinToken(root.certificatePem, MANAGER_SECRET),
    };
    expect(roleOfToken(tokens.worker, tokens)).toBe('worker');
    expect(roleOfToken(` ${tokens.manager}\n`, tokens)).toBe('manager');
    const wrong = createJoinToken(root.certificatePem, 'x'.repeat(25));
    expect(() => roleOfToken(wrong, tokens)).toThrow(/valid join token is necessary/);
    expect(() => roleOfToken('', tokens)).toThrow(/valid join token is necessary/);
  });
});

async function issued(
  role: NodeRole,
): Promise<{ certificatePem: string; keyPem: string; rootPem: string }> {
  const { csrPem, keyPem } = await createCertificateRequest();
  const certificatePem = await issueNodeCertificate({
    root,
    csrPem,
    nodeId: NODE,
    role,
    clusterId: CLUSTER,
    now: NOW,
  });
  return { certificatePem, keyPem, rootPem: root.certificatePem };
}

describe('node certificate', () => {
  it('names node, role and cluster for ninety days and its chain holds', async () => {
    const pems = await issued('manager');
    const certificate = new X509Certificate(pems.certificatePem);
    expect(identityOf(pems)).toMatchObject({ nodeId: NODE, role: 'manager', clusterId: CLUSTER });
    expect(certificate.subjectAltName).toBe(`DNS:${NODE}, DNS:swarm-manager, DNS:swarm-ca`);
    expect(Math.round((Date.parse(certificate.validTo) - NOW) / DAY_MS)).toBe(90);
    const issuer = new X509Certificate(root.certificatePem);
    expect(certificate.checkIssued(issuer)).toBe(true);
    expect(certificate.verify(issuer.publicKey)).toBe(true);
    expect(certificate.ca).toBe(false);
  });

  it('takes nothing but the key from the request and refuses a damaged one', async () => {
    const request = { root, nodeId: NODE, role: 'worker', clusterId: CLUSTER, now: NOW } as const;
    await expect(issueNodeCertificate({ ...request, csrPem: 'nonsense' })).rejects.toThrow(
      /invalid certificate request/,
    );
    const { csrPem } = await createCertificateRequest();
    const lines = csrPem.trim().split('\n');
    const body = Buffer.from(lines.slice(1, -1).join(''), 'base64');
    const last = body.length - 1;
    body[last] = (body[last] ?? 0) ^ 1;
    const forged = [lines[0], body.toString('base64'), lines.at(-1)].join('\n');
    await expect(issueNodeCertificate({ ...request, csrPem: forged })).rejects.toThrow(
      /signature does not match|invalid certificate request/,
    );
  });

  it('is renewed between half and four fifths of its life', async () => {
    const { certificatePem } = await issued('worker');
    const life = 90 * DAY_MS;
    const hour = 60 * 60 * 1000;
    expect(Math.abs(renewalInstant(certificatePem, 0) - (NOW + life * 0.5))).toBeLessThan(hour);
    expect(Math.abs(renewalInstant(certificatePem, 1) - (NOW + life * 0.8))).toBeLessThan(hour);
  });
});

describe('identity on disk', () => {
  it('survives a round trip, is readable by its owner only, and can be forgotten', async () => {
    const home = join(directory, 'node');
    expect(await loadIdentity(home)).toBeUndefined();
    const identity = identityOf(await issued('worker'));
    await saveIdentity(home, identity);
    await saveIdentity(home, identity);
    expect(await loadIdentity(home)).toEqual(identity);
    expect((await stat(join(home, 'identity.json'))).mode & 0o777).toBe(0o600);
    await removeIdentity(home);
    expect(await loadIdentity(home)).toBeUndefined();
  });

  it('is refused when certificate, key and root do not belong together', async () => {
    const [one, two] = [await issued('worker'), await issued('worker')];
    expect(() => identityOf({ ...one, keyPem: two.keyPem })).toThrow(/another key/);
    expect(() => identityOf({ ...one, rootPem: foreign.certificatePem })).toThrow(
      /not issued by this cluster/,
    );
    const home = join(directory, 'damaged');
    await saveIdentity(home, { ...identityOf(one), keyPem: two.keyPem });
    await expect(loadIdentity(home)).rejects.toThrow(/is damaged/);
  });
});

describe('certificate authority', () => {
  it('admits a node before its certificate leaves, and renews it in the role it shall have', async () => {
    const roles = new Map<NodeId, NodeRole>();
    const joinTokens = {
      worker: createJoinToken(root.certificatePem, WORKER_SECRET),
      manager: createJoinToken(root.certificatePem, MANAGER_SECRET),
    };
    const authority = new CertificateAuthority({
      state: () => ({ clusterId: CLUSTER as never, root, joinTokens }),
      roleOf: (id) => roles.get(id),
      admit: async ({ nodeId: id, role }) => {
        roles.set(id, role);
      },
      newNodeId: () => NODE as NodeId,
      now: () => NOW,
    });
    expect(authority.rootCertificate()).toBe(root.certificatePem);
    const { csrPem, keyPem } = await createCertificateRequest();
    await expect(authority.issue({ csrPem, token: 'SWMTKN-1-a-b' })).rejects.toThrow(/join token/);
    expect(roles.size).toBe(0);
    const first = await authority.issue({ csrPem, token: joinTokens.worker });
    expect(roles.get(NODE as NodeId)).toBe('worker');
    expect(identityOf({ ...first, keyPem }).role).toBe('worker');
    roles.set(NODE as NodeId, 'manager');
    const promoted = await authority.renew({ csrPem, nodeId: NODE as NodeId });
    expect(identityOf({ ...promoted, keyPem }).role).toBe('manager');
    roles.clear();
    await expect(authority.renew({ csrPem, nodeId: NODE as NodeId })).rejects.toThrow(
      /is not part of this cluster/,
    );
  });
});
