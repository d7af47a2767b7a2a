import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Logger, readJson, writeFileAtomic } from '../../pkg/io/index.ts';
import type { AddressChoice } from './address.ts';

/** What this host remembers of its membership, beside its certificate: enough to find the cluster again. */
export interface NodeRecord {
  /** Address that others reach this host at, without port. */
  readonly advertiseAddress: string;
  /** Why it is this one. */
  readonly chosen?: AddressChoice | undefined;
  /** Address of VXLAN packets; the advertised one unless said otherwise. */
  readonly dataPathAddress: string;
  readonly listenPort: number;
  /** Its manager listens on addresses of both families, also when it is reached at IPv4 ones. */
  readonly listensOnIpv6?: true | undefined;
  /** host:port of the managers heard of last. */
  readonly managers: readonly string[];
}

const FILE = 'node.json';

export function readNodeRecord(dataDir: string): NodeRecord | undefined {
  return readJson(join(dataDir, FILE)) as NodeRecord | undefined;
}

/** Nothing is written when nothing changed: an agent starts on a full disk too. */
export function writeNodeRecord(dataDir: string, record: NodeRecord): void {
  const file = join(dataDir, FILE);
  const text = JSON.stringify(record, undefined, 2);
  if (existsSync(file) && readFileSync(file, 'utf8') === text) return;
  writeFileAtomic(file, text);
}

/** What is heard again when it was not kept. */
export function tryWriteNodeRecord(
  { dataDir, log }: { readonly dataDir: string; readonly log: Logger },
  record: NodeRecord,
): void {
  try {
    writeNodeRecord(dataDir, record);
  } catch (error) {
    log.error('managers heard of not kept on disk', { error });
  }
}

export function removeNodeRecord(dataDir: string): void {
  rmSync(join(dataDir, FILE), { force: true });
}
