/**
 * Makes the example image from what the machine has: the web server beside this file, compiled statically, and busybox.
 *
 *   node deploy/image/make.mjs FILE.tar NAME[:TAG] [KEY=VALUE ...]
 *
 * writes an archive as `docker save` does; load it with `ctl image load -i FILE.tar`. The pairs become its environment.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { arch, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const APPLETS = [
  'sh',
  'ls',
  'cat',
  'echo',
  'sleep',
  'wget',
  'nslookup',
  'ping',
  'ps',
  'kill',
  'id',
  'hostname',
  'env',
  'true',
  'false',
  'nc',
  'ip',
  'seq',
  'grep',
  'sort',
  'uniq',
  'head',
  'tail',
  'mount',
  'df',
  'date',
  'stat',
  'touch',
  'mkdir',
  'rm',
];
const [archive, name = 'muster/web:1', ...environment] = process.argv.slice(2);
if (!archive) {
  console.error('usage: make.mjs FILE.tar NAME[:TAG] [KEY=VALUE ...]');
  process.exit(2);
}

const work = mkdtempSync(join(tmpdir(), 'muster-image-'));
try {
  const root = join(work, 'root');
  for (const folder of ['bin', 'etc', 'tmp', 'www', 'proc', 'sys', 'dev', 'run', 'root'])
    mkdirSync(join(root, folder), { recursive: true });
  chmodSync(join(root, 'tmp'), 0o1777);
  compile(join(root, 'bin/web'));
  const busybox = ['/bin/busybox', '/usr/bin/busybox'].find((path) => existsSync(path));
  if (!busybox) throw new Error('busybox is missing; install the package busybox-static');
  copyFileSync(busybox, join(root, 'bin/busybox'));
  for (const applet of APPLETS) symlinkSync('busybox', join(root, 'bin', applet));
  writeFileSync(
    join(root, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1000:web:/www:/bin/sh\n',
  );
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\nweb:x:1000:\n');
  pack(root, resolve(archive));
} finally {
  rmSync(work, { recursive: true, force: true });
}

function compile(target) {
  const source = join(import.meta.dirname, 'web.c');
  for (const compiler of ['musl-gcc', 'cc']) {
    try {
      execFileSync(compiler, ['-O2', '-static', '-s', '-o', target, source], { stdio: 'pipe' });
      return;
    } catch {
      // Not installed, or without a static libc: the next one.
    }
  }
  throw new Error('no C compiler could build web.c');
}

/** One layer, a config and a manifest: the Docker image specification v1.2, section "Combined Image JSON + Filesystem". */
function pack(root, file) {
  const out = join(work, 'out');
  mkdirSync(out);
  const same = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
  execFileSync('tar', [...same, '-C', root, '-cf', join(out, 'layer.tar'), '.']);
  const layer = createHash('sha256')
    .update(readFileSync(join(out, 'layer.tar')))
    .digest('hex');
  const config = JSON.stringify({
    architecture: { x64: 'amd64' }[arch()] ?? arch(),
    os: 'linux',
    created: '2026-01-01T00:00:00Z',
    config: {
      Env: ['PATH=/bin', ...environment],
      Cmd: ['web'],
      ExposedPorts: { '80/tcp': {} },
      WorkingDir: '/',
    },
    rootfs: { type: 'layers', diff_ids: [`sha256:${layer}`] },
    history: [{ created: '2026-01-01T00:00:00Z', created_by: 'deploy/image/make.mjs' }],
  });
  const id = createHash('sha256').update(config).digest('hex');
  writeFileSync(join(out, `${id}.json`), config);
  const tag = name.includes(':') ? name : `${name}:latest`;
  writeFileSync(
    join(out, 'manifest.json'),
    JSON.stringify([{ Config: `${id}.json`, RepoTags: [tag], Layers: ['layer.tar'] }]),
  );
  execFileSync('tar', [
    ...same,
    '-C',
    out,
    '-cf',
    file,
    'manifest.json',
    `${id}.json`,
    'layer.tar',
  ]);
}
