/** Three members of Debian's etcd on the loopback, for comparison in the same run. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { type ClientHttp2Session, connect } from 'node:http2';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from './measure.ts';

export interface Etcd {
  /** Puts one value of 256 bytes through the leader. */
  put(): Promise<void>;
  /** Gets the value put first, linearizable, at the leader. */
  get(): Promise<void>;
  /** Processor time of all members so far, in microseconds. */
  cpuUs(): Promise<number>;
  stop(): Promise<void>;
}

const VALUE_BYTES = 256;
const START_MS = 20_000;
const KEYS = 100_000;

/**
 * Starts a cluster with its data in `folder`: of the program that the variable ETCD names, or else of Debian's package,
 * which is fetched into the folder (nothing is installed).
 */
export async function startEtcd(folder: string): Promise<Etcd> {
  const program = process.env['ETCD'] ?? fetchProgram(folder);
  const ports = await Promise.all(Array.from({ length: 6 }, freePort));
  const url = (at: number): string => `http://127.0.0.1:${ports[at]}`;
  const members = [0, 1, 2];
  const all = members.map((at) => `e${at}=${url(at)}`).join(',');
  const children = members.map((at) =>
    spawn(
      program,
      [
        ['--name', `e${at}`, '--data-dir', join(folder, `e${at}`), '--log-outputs', '/dev/null'],
        ['--listen-peer-urls', url(at), '--initial-advertise-peer-urls', url(at)],
        ['--listen-client-urls', url(at + 3), '--advertise-client-urls', url(at + 3)],
        ['--initial-cluster', all, '--logger', 'zap'],
      ].flat(),
      { stdio: 'ignore' },
    ),
  );
  const leader = await findLeader(members.map((at) => url(at + 3)));
  const session = connect(leader);
  let key = 0;
  return {
    put: () => put(session, `k${key++ % KEYS}`),
    get: () => get(session, 'k0'),
    cpuUs: async (): Promise<number> =>
      children.reduce((sum, { pid }) => sum + cpuUsOf(pid ?? 0), 0),
    stop: async (): Promise<void> => {
      session.destroy();
      await Promise.all(children.map(end));
    },
  };
}

function fetchProgram(folder: string): string {
  const program = join(folder, 'usr/bin/etcd');
  if (existsSync(program)) return program;
  execFileSync('apt-get', ['download', '-qq', 'etcd-server'], { cwd: folder, stdio: 'ignore' });
  const archive = readdirSync(folder).find((file) => file.endsWith('.deb')) ?? '';
  execFileSync('dpkg', ['-x', join(folder, archive), folder]);
  return program;
}

async function findLeader(urls: readonly string[]): Promise<string> {
  const deadline = performance.now() + START_MS;
  while (performance.now() < deadline) {
    for (const url of urls) {
      const text = await fetch(`${url}/metrics`).then(
        (answer) => answer.text(),
        () => '',
      );
      if (/^etcd_server_is_leader 1$/m.test(text)) return url;
    }
    await pause(50);
  }
  throw new Error('etcd has no leader');
}

/** The kernel counts a hundred ticks a second. */
function cpuUsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

/** Protocol Buffers: a field of bytes. */
function field(number: number, bytes: Buffer): Buffer {
  const length = [];
  let rest = bytes.length;
  for (; rest > 127; rest >>>= 7) length.push((rest & 127) | 128);
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length, rest]), bytes]);
}

const VALUE = field(2, Buffer.alloc(VALUE_BYTES, 'x'));

function put(session: ClientHttp2Session, key: string): Promise<void> {
  return call(session, 'Put', Buffer.concat([field(1, Buffer.from(key)), VALUE]));
}

function get(session: ClientHttp2Session, key: string): Promise<void> {
  return call(session, 'Range', field(1, Buffer.from(key)));
}

/** A method of etcdserverpb.KV, by hand: a gRPC library would cost the client more than the request. */
function call(session: ClientHttp2Session, method: string, message: Buffer): Promise<void> {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return new Promise((resolve, reject) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': `/etcdserverpb.KV/${method}`,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    let status: unknown;
    const note = (headers: Readonly<Record<string, unknown>>): void => {
      status = headers['grpc-status'] ?? status;
    };
    stream.on('response', note);
    stream.on('trailers', note);
    stream.on('data', () => undefined);
    stream.on('error', reject);
    stream.on('end', () => (status === '0' ? resolve() : reject(new Error(`etcd: ${status}`))));
    stream.end(Buffer.concat([head, message]));
  });
}
