/** Against a real registry on loopback: Debian's docker-registry. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkLogin } from './login.ts';
import { MEDIA } from './manifest.ts';
import type { Progress } from './progress.ts';
import { inspectDistribution, pullImage } from './pull.ts';
import { pushImage } from './push.ts';
import { ImageStore } from './store.ts';
import { tarEnd, tarMember } from './tar-write.ts';

let directory = '';
let registry: ChildProcess;
let host = '';

const sha = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

async function freePort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'registry-'));
  const port = await freePort();
  host = `127.0.0.1:${port}`;
  const config = join(directory, 'config.yml');
  await writeFile(
    config,
    `version: 0.1\nlog: {level: info}\nstorage: {filesystem: {rootdirectory: ${directory}/registry}}\nhttp: {addr: '${host}'}\n`,
  );
  registry = spawn('/usr/bin/docker-registry', ['serve', config], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  await new Promise<void>((resolve, reject) => {
    registry.once('exit', () => reject(new Error('the registry ended')));
    registry.stderr?.on('data', (chunk: Buffer) => {
      if (chunk.includes('listening on')) resolve();
    });
  });
});
afterAll(async () => {
  registry.kill('SIGKILL');
  await rm(directory, { recursive: true, force: true });
});

async function upload(name: string, blob: Buffer): Promise<void> {
  const begun = await fetch(`http://${host}/v2/${name}/blobs/uploads/`, { method: 'POST' });
  const location = new URL(begun.headers.get('location') ?? '', `http://${host}`);
  location.searchParams.set('digest', sha(blob));
  const done = await fetch(location, { method: 'PUT', body: new Uint8Array(blob) });
  expect(done.status).toBe(201);
}

async function put(name: string, tag: string, manifest: Buffer, type: string): Promise<string> {
  const answer = await fetch(`http://${host}/v2/${name}/manifests/${tag}`, {
    method: 'PUT',
    body: new Uint8Array(manifest),
    headers: { 'content-type': type },
  });
  expect(answer.status).toBe(201);
  return sha(manifest);
}

/** Pushes an image of two layers, the second compressed. @returns digests of manifest and config */
async function push(name: string, tag: string): Promise<{ manifest: string; config: string }> {
  const layers = ['one', 'two'].map((text) =>
    Buffer.concat([tarMember({ path: text, type: 'file' }, Buffer.from(text)), tarEnd()]),
  );
  const stored = [layers[0] ?? Buffer.alloc(0), gzipSync(layers[1] ?? '')];
  const config = Buffer.from(
    JSON.stringify({
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      os: 'linux',
      config: { Cmd: ['/two'] },
      rootfs: { type: 'layers', diff_ids: layers.map(sha) },
    }),
  );
  for (const blob of [...stored, config]) await upload(name, blob);
  const describe = (mediaType: string, blob: Buffer): object => ({
    mediaType,
    digest: sha(blob),
    size: blob.length,
  });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA.dockerManifest,
      config: describe(MEDIA.dockerConfig, config),
      layers: stored.map((blob) => describe(MEDIA.dockerLayer, blob)),
    }),
  );
  return { manifest: await put(name, tag, manifest, MEDIA.dockerManifest), config: sha(config) };
}

async function withStore<T>(work: (store: ImageStore) => Promise<T>): Promise<T> {
  const at = await mkdtemp(join(directory, 'store-'));
  return work(await ImageStore.open(at));
}

test('pulls by tag with progress, then by digest without a download', async () => {
  const pushed = await push('team/app', '1.0');
  await withStore(async (store) => {
    const said: Progress[] = [];
    const name = `${host}/team/app:1.0`;
    const image = await pullImage(store, name, { onProgress: (each) => said.push(each) });
    expect(image).toMatchObject({
      id: pushed.config,
      repoTags: [name],
      repoDigests: [`${host}/team/app@${pushed.manifest}`],
    });
    expect(said[0]).toEqual({ status: 'Pulling from team/app', id: '1.0' });
    const statuses = said.map((each) => each.status);
    expect(statuses.filter((status) => status === 'Download complete')).toHaveLength(2);
    expect(statuses.filter((status) => status === 'Pull complete')).toHaveLength(2);
    expect(statuses.at(-1)).toBe(`Status: Downloaded newer image for ${name}`);
    const { lowerDirs } = await store.prepareSnapshot('c', image.id);
    expect(await readFile(join(lowerDirs[0] ?? '', 'two'), 'utf8')).toBe('two');
    expect(await readFile(join(lowerDirs[1] ?? '', 'one'), 'utf8')).toBe('one');

    const byDigest = await pullImage(store, `${host}/team/app@${pushed.manifest}`);
    expect(byDigest.id).toBe(image.id);
    said.length = 0;
    await pullImage(store, name, { onProgress: (each) => said.push(each) });
    expect(said.map((each) => each.status)).not.toContain('Download complete');
    expect(said.at(-1)?.status).toBe(`Status: Image is up to date for ${name}`);
  });
});

test('takes its own platform from an index', async () => {
  const pushed = await push('multi', 'base');
  const size = 1;
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const index = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA.ociIndex,
      manifests: [
        {
          mediaType: MEDIA.dockerManifest,
          digest: pushed.manifest,
          size,
          platform: { os: 'linux', architecture },
        },
      ],
    }),
  );
  const digest = await put('multi', 'latest', index, MEDIA.ociIndex);
  await withStore(async (store) => {
    const image = await pullImage(store, `${host}/multi`);
    expect(image.repoDigests).toEqual([`${host}/multi@${digest}`]);
    const elsewhere = { os: 'linux', architecture: 's390x' };
    await expect(pullImage(store, `${host}/multi`, { platform: elsewhere })).rejects.toThrow(
      'no matching manifest for linux/s390x in the manifest list entries',
    );
  });
  expect(await inspectDistribution(`${host}/multi`)).toMatchObject({
    Descriptor: { digest, mediaType: MEDIA.ociIndex },
    Platforms: [{ os: 'linux', architecture }],
  });
});

test('pushes what it has, once', async () => {
  await push('source', '1');
  await withStore(async (store) => {
    const image = await pullImage(store, `${host}/source:1`);
    const name = `${host}/copy/of:2`;
    await store.tag(image.id, name);
    const said: Progress[] = [];
    await pushImage(store, name, { onProgress: (each) => said.push(each) });
    expect(said.at(-1)?.aux).toMatchObject({ Tag: '2', Digest: image.manifest });
    expect(said.filter(({ status }) => status === 'Pushed')).toHaveLength(3);
    said.length = 0;
    await pushImage(store, name, { onProgress: (each) => said.push(each) });
    expect(said.filter(({ status }) => status === 'Layer already exists')).toHaveLength(3);
    await withStore(async (elsewhere) => {
      expect((await pullImage(elsewhere, name)).id).toBe(image.id);
    });
  });
});

test('says what is missing in the words of docker pull', async () => {
  await push('known', 'a');
  await withStore(async (store) => {
    await expect(pullImage(store, `${host}/known:b`)).rejects.toThrow(
      `manifest for ${host}/known:b not found: manifest unknown`,
    );
    const port = await freePort();
    await expect(pullImage(store, `127.0.0.1:${port}/x`)).rejects.toThrow('ECONNREFUSED');
  });
});

test('answers a token challenge with the credentials', async () => {
  await push('private', '1');
  const seen: string[] = [];
  const server: Server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://x');
    const own = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    if (url.pathname === '/token') {
      if (request.headers.authorization === undefined) {
        response.writeHead(401).end();
        return;
      }
      seen.push(`${request.headers.authorization} ${url.searchParams.get('scope')}`);
      response.end(JSON.stringify({ token: 'T' }));
    } else if (request.headers.authorization !== 'Bearer T') {
      const challenge = `Bearer realm="${own}/token",service="s",scope="repository:private:pull"`;
      response.writeHead(401, { 'www-authenticate': challenge }).end();
    } else {
      response.writeHead(307, { location: `http://${host}${request.url}` }).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = server.address() as AddressInfo;
    await withStore(async (store) => {
      const image = await pullImage(store, `127.0.0.1:${port}/private:1`, {
        auth: { username: 'u', password: 'p' },
      });
      expect(image.repoTags).toEqual([`127.0.0.1:${port}/private:1`]);
      await expect(pullImage(store, `127.0.0.1:${port}/private:1`)).rejects.toThrow(
        `pull access denied for 127.0.0.1:${port}/private, repository does not exist or may require 'docker login'`,
      );
    });
    const basic = Buffer.from('u:p').toString('base64');
    expect(seen).toEqual([`Basic ${basic} repository:private:pull`]);
    const serveraddress = `http://127.0.0.1:${port}/v2/`;
    await checkLogin({ username: 'u', password: 'p', serveraddress });
    await expect(checkLogin({ serveraddress })).rejects.toThrow(
      `Get "https://127.0.0.1:${port}/v2/": unauthorized: incorrect username or password`,
    );
  } finally {
    server.close();
    server.closeAllConnections();
  }
});
