import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ApiServer, createApiServer } from '../../../pkg/api/index.ts';
import { silentLogger } from '../../../pkg/io/index.ts';
import { Docker } from '../docker-cli/docker.ts';
import { LiveCluster } from '../docker-cli/live-cluster.ts';

let directory: string;
let cluster: LiveCluster;
let server: ApiServer;
let address: string;
const file = (name: string): string => join(directory, name);

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'docker-tls-'));
  certificates();
  cluster = await LiveCluster.create();
  server = await createApiServer({ cluster: cluster.api, log: silentLogger, version: '0.1.0' });
  const port = await freePort();
  address = `tcp://127.0.0.1:${port}`;
  const tls = {
    ca: readFileSync(file('ca.pem')),
    cert: readFileSync(file('server.pem')),
    key: readFileSync(file('server.key')),
    requestCert: true,
    rejectUnauthorized: true,
  };
  await server.listen({ host: '127.0.0.1', port }, tls);
});
afterAll(async () => {
  await server.close();
  cluster[Symbol.dispose]();
  rmSync(directory, { recursive: true, force: true });
});

function openssl(...args: readonly string[]): void {
  execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
}

/** A root, a server for 127.0.0.1 and a client, all good for a day. */
function certificates(): void {
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl(
    'req',
    '-x509',
    ...key,
    '-keyout',
    'ca.key',
    '-out',
    'ca.pem',
    '-subj',
    '/CN=root',
    '-days',
    '1',
  );
  writeFileSync(file('san'), 'subjectAltName=IP:127.0.0.1\n');
  for (const name of ['server', 'client']) {
    openssl('req', ...key, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    const sign = [
      'x509',
      '-req',
      '-in',
      `${name}.csr`,
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca.key',
      '-days',
      '1',
    ];
    openssl(...sign, '-CAcreateserial', '-extfile', 'san', '-out', `${name}.pem`);
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

test('the CLI works over TCP with certificates of both sides', async () => {
  const docker = new Docker('', directory);
  const tls = ['--tlsverify', '--tlscacert', file('ca.pem')];
  const client = ['--tlscert', file('client.pem'), '--tlskey', file('client.key')];
  const list = ['node', 'ls', '--format', '{{.Hostname}}'];
  expect(await docker.run(['-H', address, ...tls, ...client, ...list])).toContain('w1');
});

test('without a certificate of the cluster nobody gets in', async () => {
  const docker = new Docker('', directory);
  const refused = await docker.try(['-H', address, '--tls', 'node', 'ls']);
  expect(refused.exitCode).toBe(1);
  expect(refused.stderr).toMatch(/certificate required|bad certificate|tls/i);
});
