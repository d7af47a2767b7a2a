import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readJson, writeFileAtomic } from '../../pkg/io/index.ts';
import { joinHostPort } from '../../pkg/model/index.ts';
import { needsUnlocking } from '../../pkg/store/index.ts';
import type { NodeRecord } from './node-record.ts';
import type { Obstacle } from './supervise-manager.ts';

/** The part of `manager/begin.json` that the agent looks at; `cmd/manager` has the whole of it. */
export interface BeginFile {
  readonly raftId: number;
  /** host:port that others reach the manager at. */
  readonly advertise?: string | undefined;
  /** host:port that it listens on. */
  readonly listen?: string | undefined;
  /** host:port where other managers may be now, whatever the log says. */
  readonly managers?: readonly string[] | undefined;
  readonly how:
    | { readonly kind: 'alone'; readonly former: number }
    | { readonly kind: 'bootstrap' | 'join' | 'member'; readonly [part: string]: unknown };
}

/** host:port that other nodes reach this one's manager at. */
export function addressOf(record: NodeRecord): string {
  return joinHostPort({ host: record.advertiseAddress, port: record.listenPort });
}

/** All addresses of the host. A socket of IPv6 takes IPv4 too, but some kernels have none. */
export function listenAddressOf(record: NodeRecord): string {
  const isIpv6 = record.listensOnIpv6 || record.advertiseAddress.includes(':');
  return joinHostPort({ host: isIpv6 ? '::' : '0.0.0.0', port: record.listenPort });
}

export function readBegin(dataDir: string): BeginFile | undefined {
  return readJson(beginFile(dataDir)) as BeginFile | undefined;
}

/** The manager is reached elsewhere, or is to look for the others there, from its next start on. */
export function changeBegin(
  dataDir: string,
  begin: BeginFile,
  change: Pick<BeginFile, 'advertise' | 'listen' | 'managers'>,
): void {
  writeFileAtomic(beginFile(dataDir), JSON.stringify({ ...begin, ...change }), 0o600);
}

/** What the manager reads at its first start. */
export function writeBegin(
  dataDir: string,
  begin: BeginFile & { readonly record: NodeRecord },
): void {
  const { raftId, record, how } = begin;
  const content = { raftId, advertise: addressOf(record), listen: listenAddressOf(record), how };
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
