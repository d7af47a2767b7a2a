import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readJson, writeFileAtomic } from '../../pkg/io/index.ts';
import { needsUnlocking } from '../../pkg/store/index.ts';
import type { NodeRecord } from './node-record.ts';
import type { Obstacle } from './supervise-manager.ts';

/** The part of `manager/begin.json` that the agent looks at; `cmd/manager` has the whole of it. */
export interface BeginFile {
  readonly raftId: number;
  readonly how:
    | { readonly kind: 'alone'; readonly former: number }
    | { readonly kind: 'bootstrap' | 'join' | 'member'; readonly [part: string]: unknown };
}

/** host:port that other nodes reach this one's manager at. */
export function addressOf(record: NodeRecord): string {
  return `${record.advertiseAddress}:${record.listenPort}`;
}

export function readBegin(dataDir: string): BeginFile | undefined {
  return readJson(beginFile(dataDir)) as BeginFile | undefined;
}

/** What the manager reads at its first start. */
export function writeBegin(
  dataDir: string,
  begin: BeginFile & { readonly record: NodeRecord },
): void {
  const { raftId, record, how } = begin;
  const listen = `0.0.0.0:${record.listenPort}`;
  const content = { raftId, advertise: addressOf(record), listen, how };
  writeFileAtomic(beginFile(dataDir), JSON.stringify(content), 0o600);
}

/** Why the manager cannot be started, as its folder tells. */
export function obstacleOf(dataDir: string): Obstacle | undefined {
  // Written by a manager that the group has taken out.
  if (existsSync(join(dataDir, 'manager', 'removed'))) return 'removed';
  return needsUnlocking(keyFile(dataDir)) ? 'locked' : undefined;
}

export function keyFile(dataDir: string): string {
  return join(dataDir, 'manager', 'keys.json');
}

function beginFile(dataDir: string): string {
  return join(dataDir, 'manager', 'begin.json');
}
