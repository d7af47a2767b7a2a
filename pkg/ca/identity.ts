import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClusterId, NodeId, NodeRole } from '../model/index.ts';
import { ClusterError } from '../model/index.ts';

/** Who this machine is in the cluster, with the proof. */
export interface NodeIdentity {
  readonly nodeId: NodeId;
  readonly role: NodeRole;
  readonly clusterId: ClusterId;
  readonly certificatePem: string;
  readonly keyPem: string;
  readonly rootPem: string;
}

const FILE = 'identity.json';

/**
 * Writes certificate, key and root as one file that only root can read; a crash leaves the old or the new identity,
 * never a certificate with another one's key.
 */
export async function saveIdentity(directory: string, identity: NodeIdentity): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, FILE);
  const draft = `${path}.tmp`;
  await rm(draft, { force: true });
  const file = await open(draft, 'wx', 0o600);
  try {
    const { certificatePem, keyPem, rootPem } = identity;
    await file.writeFile(`${JSON.stringify({ certificatePem, keyPem, rootPem }, undefined, 2)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(draft, path);
  const parent = await open(directory, 'r');
  try {
    await parent.sync();
  } finally {
    await parent.close();
  }
}

/** The saved identity; undefined when this machine is in no cluster. Throws `system` when the file is damaged. */
export async function loadIdentity(directory: string): Promise<NodeIdentity | undefined> {
  const path = join(directory, FILE);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { certificatePem, keyPem, rootPem } = JSON.parse(text) as NodeIdentity;
    return identityOf({ certificatePem, keyPem, rootPem });
  } catch (error) {
    throw damaged(path, error);
  }
}

function damaged(path: string, cause: unknown): ClusterError {
  const message = `identity file ${path} is damaged; join the cluster again`;
  return new ClusterError('system', message, { cause });
}

/** Forgets the identity (`swarm leave`). */
export async function removeIdentity(directory: string): Promise<void> {
  await rm(join(directory, FILE), { force: true });
}

/** Reads node, role and cluster from the certificate. Throws `invalid` when certificate, key and root do not belong together. */
export function identityOf(pems: {
  readonly certificatePem: string;
  readonly keyPem: string;
  readonly rootPem: string;
}): NodeIdentity {
  const certificate = new X509Certificate(pems.certificatePem);
  const root = new X509Certificate(pems.rootPem);
  if (!certificate.verify(root.publicKey)) {
    throw new ClusterError('invalid', 'the node certificate was not issued by this cluster');
  }
  if (!certificate.checkPrivateKey(createPrivateKey(pems.keyPem))) {
    throw new ClusterError('invalid', 'the node certificate belongs to another key');
  }
  const subject = new Map(
    certificate.subject.split('\n').map((line): [string, string] => {
      const at = line.indexOf('=');
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
  const [nodeId, unit, clusterId] = [subject.get('CN'), subject.get('OU'), subject.get('O')];
  const role =
    unit === 'swarm-manager' ? 'manager' : unit === 'swarm-worker' ? 'worker' : undefined;
  if (!nodeId || !clusterId || !role) {
    throw new ClusterError('invalid', 'the node certificate names no node, role or cluster');
  }
  return { ...pems, nodeId: nodeId as NodeId, clusterId: clusterId as ClusterId, role };
}
