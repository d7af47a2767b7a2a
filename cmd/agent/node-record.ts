import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { readJson, writeFileAtomic } from '../../pkg/io/index.ts';
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

export function writeNodeRecord(dataDir: string, record: NodeRecord): void {
  writeFileAtomic(join(dataDir, FILE), JSON.stringify(record, undefined, 2));
}

export function removeNodeRecord(dataDir: string): void {
  rmSync(join(dataDir, FILE), { force: true });
}
