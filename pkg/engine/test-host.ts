/** One engine on directories and a cgroup of its own, with a busybox image; used by tests only. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { tarEnd, tarMember } from '../image/index.ts';
import type { NetworkId } from '../model/index.ts';
import type { HostNetwork } from '../overlaynet/index.ts';
import { createRuntime, type Runtime } from '../runtime/index.ts';
import type { DockerJson } from './docker-shape.ts';
import { createEngine, type Engine } from './engine.ts';
import type { TaskContainerSpec } from './task-engine.ts';

const INIT_DIR = join(import.meta.dirname, '../runtime/init');
const CGROUP_ROOT = '/sys/fs/cgroup';

export class TestHost {
  /** In memory: the secrets need it, and the tests are quicker. */
  readonly dir = mkdtempSync('/dev/shm/muster-engine-');
  readonly cgroupParent = `/muster-engine-${process.pid}-${Math.random().toString(36).slice(2, 8)}`;
  readonly runtime: Runtime;
  readonly network: HostNetwork | undefined;
  engine!: Engine;
  #tasks = 0;

  private constructor(network: HostNetwork | undefined) {
    execFileSync('make', ['-s', '-C', INIT_DIR]);
    this.network = network;
    this.runtime = createRuntime({
      initPath: join(INIT_DIR, 'build/muster-init'),
      stateDir: join(this.dir, 'state'),
    });
  }

  static async open(network?: HostNetwork): Promise<TestHost> {
    const host = new TestHost(network);
    await host.restart();
    await host.load('busybox:latest', {});
    return host;
  }

  /** A new engine on the same directories, as after an agent restart. */
  async restart(): Promise<Engine> {
    this.engine?.close();
    this.engine = await createEngine({
      dataDir: join(this.dir, 'data'),
      runDir: join(this.dir, 'run'),
      runtime: this.runtime,
      network: this.network,
      cgroupParent: this.cgroupParent,
      hostname: 'test-host',
      version: '0.0.0',
    });
    return this.engine;
  }

  /** An image with busybox and further files. */
  async load(
    reference: string,
    files: Readonly<Record<string, string>>,
    changes: readonly string[] = [],
  ): Promise<void> {
    const tar = Readable.from(busyboxImage(files));
    const signal = new AbortController().signal;
    for await (const _ of this.engine.images.importTar(tar, { reference, changes, signal }));
  }

  /** Creates and starts `sh -c command` without a network. */
  async start(command: string, body: DockerJson = {}, name?: string): Promise<string> {
    const { HostConfig, ...rest } = body;
    const { id } = await this.engine.containers.create(name, {
      Image: 'busybox',
      Cmd: ['/bin/sh', '-c', command],
      ...rest,
      HostConfig: { NetworkMode: 'none', ...(HostConfig as object | undefined) },
    });
    await this.engine.containers.start(id);
    return id;
  }

  /** Runs to the end. @returns exit code and everything written */
  async run(
    command: string,
    body: DockerJson = {},
  ): Promise<{ readonly code: number; readonly out: string }> {
    const id = await this.start(command, body);
    const { exitCode } = await this.wait(id);
    const out = await this.log(id);
    await this.engine.containers.remove(id, { force: true, volumes: true });
    return { code: exitCode, out };
  }

  wait(id: string): Promise<{ readonly exitCode: number }> {
    const signal = AbortSignal.timeout(20_000);
    return this.engine.containers.wait(id, 'not-running', { registered: () => undefined, signal });
  }

  async log(id: string): Promise<string> {
    return this.#read(id, false, undefined);
  }

  /** Resolves when the words are in the log. */
  async logged(id: string, words: string): Promise<string> {
    const text = await this.#read(id, true, words);
    if (!text.includes(words)) throw new Error(`${id} ended without saying ${words}: ${text}`);
    return text;
  }

  async #read(id: string, follow: boolean, until: string | undefined): Promise<string> {
    const signal = AbortSignal.timeout(20_000);
    const { records } = await this.engine.containers.logs(id, {
      follow,
      stdout: true,
      stderr: true,
      signal,
    });
    let text = '';
    for await (const record of records) {
      text += record.data.toString();
      if (until !== undefined && text.includes(until)) break;
    }
    return text;
  }

  async exec(
    id: string,
    command: string,
    body: DockerJson = {},
  ): Promise<{ readonly code: unknown; readonly out: string }> {
    const execId = await this.engine.execs.create(id, { Cmd: ['/bin/sh', '-c', command], ...body });
    const stream = await this.engine.execs.start(execId, { tty: false });
    let out = '';
    for (const each of [stream.stdout, stream.stderr]) {
      each.on('data', (chunk: Buffer) => {
        out += chunk.toString();
      });
    }
    await new Promise((resolve) => stream.stdout.once('end', resolve));
    const deadline = Date.now() + 5000;
    for (;;) {
      const { ExitCode } = await this.engine.execs.inspect(execId);
      if (ExitCode !== null || Date.now() > deadline) return { code: ExitCode, out };
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  task(command: string, more: Partial<TaskContainerSpec> = {}): TaskContainerSpec {
    const taskId = `task${++this.#tasks}`;
    return {
      taskId,
      taskName: `web.1.${taskId}`,
      serviceId: 'service1',
      serviceName: 'web',
      slot: 1,
      nodeId: 'node1',
      nodeHostname: 'test-host',
      networks: [
        { networkId: 'none' as NetworkId, networkName: 'none', addresses: [], aliases: [] },
      ],
      hostPorts: [],
      secrets: new Map(),
      configs: new Map(),
      ...more,
      container: { Image: 'busybox', Command: ['/bin/sh', '-c', command], ...more.container },
    };
  }

  /** Removes everything, then throws if the machine is not as it was before. */
  async close(): Promise<void> {
    for (const { Id } of await this.engine.containers.list({ all: true, size: false })) {
      await this.engine.containers.remove(String(Id), { force: true, volumes: true });
    }
    this.engine.close();
    const leaks = [...(await this.runtime.list()), ...leftMounts(this.dir)];
    for (const id of await this.runtime.list()) await this.runtime.delete(id, { force: true });
    for (const root of readdirSync(CGROUP_ROOT).map((name) => `${CGROUP_ROOT}/${name}`)) {
      if (existsSync(root + this.cgroupParent)) rmdirSync(root + this.cgroupParent);
    }
    rmSync(this.dir, { recursive: true, force: true });
    if (leaks.length > 0) throw new Error(`left behind: ${leaks.join(', ')}`);
  }
}

function leftMounts(dir: string): readonly string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(dir));
}

function* busyboxImage(files: Readonly<Record<string, string>>): Generator<Buffer> {
  for (const path of ['bin', 'etc', 'root', 'tmp']) yield tarMember({ path, type: 'directory' });
  yield tarMember({ path: 'bin/busybox', type: 'file', mode: 0o755 }, readFileSync('/bin/busybox'));
  const applets = execFileSync('/bin/busybox', ['--list']).toString().trim().split('\n');
  for (const name of applets.filter((each) => each !== 'busybox')) {
    yield tarMember({ path: `bin/${name}`, type: 'symlink', linkPath: 'busybox' });
  }
  const passwd = 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n';
  yield tarMember({ path: 'etc/passwd', type: 'file' }, Buffer.from(passwd));
  const group = 'root:x:0:\napp:x:1000:\nextra:x:2000:app\n';
  yield tarMember({ path: 'etc/group', type: 'file' }, Buffer.from(group));
  for (const [path, content] of Object.entries(files)) {
    yield tarMember(
      { path, type: 'file', mode: 0o755, uid: 1000, gid: 1000 },
      Buffer.from(content),
    );
  }
  yield tarEnd();
}
