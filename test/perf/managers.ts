/** Managers as they are shipped, without agents beside them. Needs a build. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import {
  createCertificateRequest,
  createJoinToken,
  createRoot,
  identityOf,
  issueNodeCertificate,
  type NodeIdentity,
  type RootAuthority,
  saveIdentity,
} from '../../pkg/ca/index.ts';
import { newObjectId, systemRandom } from '../../pkg/io/index.ts';
import type { ClusterId, NodeId } from '../../pkg/model/index.ts';
import { requestCertificate } from '../../pkg/rpc/index.ts';
import { freePort } from './measure.ts';

const PROGRAM = join(import.meta.dirname, '../../dist/manager.js');
const START_MS = 60_000;
const TICKS_PER_SECOND = 100;

export interface RunningManager {
  readonly address: string;
  readonly socket: string;
  readonly process: ChildProcess;
}

export interface Managers {
  readonly all: readonly RunningManager[];
  readonly rootPem: string;
  readonly workerToken: string;
}

/** `count` managers of one group below `folder`, on ports of the loopback. The first leads. */
export async function startManagers(folder: string, count: number): Promise<Managers> {
  const clusterId = newObjectId(systemRandom) as ClusterId;
  const root = await createRoot({ clusterId, now: Date.now() });
  const rootPem = root.certificatePem;
  const token = (): string => createJoinToken(rootPem, newObjectId(systemRandom));
  const joinTokens = { worker: token(), manager: token() };
  const all: RunningManager[] = [];
  try {
    for (let number = 1; number <= count; number++) {
      const address = `127.0.0.1:${await freePort()}`;
      const [first] = all;
      const begin = { raftId: number, advertise: address, listen: address };
      const place = join(folder, `m${number}`);
      if (first) {
        const { csrPem, keyPem } = await createCertificateRequest();
        const request = { address: first.address, rootPem, csrPem, token: joinTokens.manager };
        const { certificatePem } = await requestCertificate(request);
        await saveIdentity(
          join(place, 'identity'),
          identityOf({ certificatePem, keyPem, rootPem }),
        );
        const how = { kind: 'join', remotes: [first.address] };
        all.push(await startOne(place, { ...begin, how }));
      } else {
        await saveIdentity(join(place, 'identity'), await firstIdentity(root, clusterId));
        const cluster = {
          spec: { Name: 'default' },
          ca: { certificatePem: rootPem, keyPem: root.keyPem },
          joinTokens,
          addressPools: ['10.0.0.0/8'],
          subnetSize: 16,
          dataPathPort: 4789,
        };
        const how = { kind: 'bootstrap', availability: 'drain', cluster };
        all.push(await startOne(place, { ...begin, how }));
      }
    }
  } catch (error) {
    for (const one of all) one.process.kill('SIGKILL');
    throw error;
  }
  return { all, rootPem, workerToken: joinTokens.worker };
}

async function firstIdentity(root: RootAuthority, clusterId: ClusterId): Promise<NodeIdentity> {
  const nodeId = newObjectId(systemRandom) as NodeId;
  const { csrPem, keyPem } = await createCertificateRequest();
  const request = { root, csrPem, nodeId, role: 'manager', clusterId, now: Date.now() } as const;
  const certificatePem = await issueNodeCertificate(request);
  return identityOf({ certificatePem, keyPem, rootPem: root.certificatePem });
}

async function startOne(
  folder: string,
  begin: { readonly advertise: string; readonly how: object },
): Promise<RunningManager> {
  mkdirSync(join(folder, 'manager'));
  writeFileSync(join(folder, 'manager', 'begin.json'), JSON.stringify(begin));
  const args = [PROGRAM, '--data-dir', folder, '--run-dir', folder, '--log-level', 'warn'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
  const socket = join(folder, 'manager.sock');
  for (const end = Date.now() + START_MS; !existsSync(socket); await pause(50)) {
    if (child.exitCode === null && Date.now() < end) continue;
    child.kill('SIGKILL');
    throw new Error(`${folder} does not start`);
  }
  return { address: begin.advertise, socket, process: child };
}

/** Seconds of processor time used so far. */
export function cpuSeconds({ process: { pid } }: Pick<RunningManager, 'process'>): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Resident megabytes. */
export function residentMb({ process: { pid } }: RunningManager): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
}
