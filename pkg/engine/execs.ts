/** `docker exec`: made, started once, inspected for a while after its end. */
import { newHexId, type Timer } from '../io/index.ts';
import { ClusterError } from '../model/index.ts';
import type { ExecHandle, ExitStatus } from '../runtime/index.ts';
import { type ContainerStream, streamOf } from './attach.ts';
import type { Container } from './container.ts';
import { mergeEnv } from './create.ts';
import type { DockerJson } from './docker-shape.ts';
import { asClusterError } from './failure.ts';
import type { Host } from './host.ts';
import { resolveUser } from './user.ts';

interface ExecBody {
  readonly Cmd?: readonly string[] | null | undefined;
  readonly Env?: readonly string[] | null | undefined;
  readonly User?: string | undefined;
  readonly WorkingDir?: string | undefined;
  readonly Tty?: boolean | undefined;
  readonly AttachStdin?: boolean | undefined;
  readonly AttachStdout?: boolean | undefined;
  readonly AttachStderr?: boolean | undefined;
  readonly Privileged?: boolean | undefined;
  readonly DetachKeys?: string | undefined;
}

interface Exec {
  readonly id: string;
  readonly container: Container;
  readonly body: ExecBody;
  started: boolean;
  handle: ExecHandle | undefined;
  exit: Pick<ExitStatus, 'code'> | undefined;
  /** Resolves when `exit` is known. */
  finished?: Promise<void> | undefined;
  expiry?: Timer | undefined;
}

/** How long the exit code of an exec can be asked for. */
const KEPT_MS = 5 * 60_000;

export class Execs {
  readonly #host: Host;
  readonly #execs = new Map<string, Exec>();

  constructor(host: Host) {
    this.#host = host;
  }

  async create(text: string, request: DockerJson): Promise<string> {
    const container = this.#host.registry.get(text);
    const body = request as ExecBody;
    if (!Array.isArray(body.Cmd) || body.Cmd.length === 0) {
      throw new ClusterError('invalid', 'No exec command specified');
    }
    checkRunning(container);
    const id = newHexId(this.#host.random);
    this.#execs.set(id, {
      id,
      container,
      body,
      started: false,
      handle: undefined,
      exit: undefined,
    });
    container.execIds.add(id);
    const attributes = container.attributes({ execID: id });
    this.#host.events.emit('container', `exec_create: ${body.Cmd.join(' ')}`, {
      id: container.id,
      attributes,
    });
    return id;
  }

  async start(
    id: string,
    options: {
      readonly tty: boolean;
      readonly size?: { readonly rows: number; readonly columns: number } | undefined;
    },
  ): Promise<ContainerStream> {
    const exec = this.#get(id);
    if (exec.started) throw new ClusterError('conflict', `exec ${id} has already been started`);
    checkRunning(exec.container);
    exec.started = true;
    const { container, body } = exec;
    const tty = body.Tty ?? options.tty;
    try {
      exec.handle = await this.#host.runtime.exec(container.id, {
        execId: id,
        args: body.Cmd ?? [],
        env: await this.#environment(container, body),
        cwd: body.WorkingDir || undefined,
        user: body.User ? await this.#user(container, body.User) : undefined,
        tty,
        consoleSize: options.size && { rows: options.size.rows, cols: options.size.columns },
        openStdin: body.AttachStdin ?? false,
        privileged: body.Privileged ?? false,
      });
    } catch (error) {
      exec.exit = { code: failureCode(error) };
      this.#expire(exec);
      throw asClusterError(error, 'OCI runtime exec failed: exec failed');
    }
    exec.finished = this.#finish(exec, exec.handle);
    return streamOf(exec.handle, tty);
  }

  /** Undefined keeps what the container's process has. */
  async #environment(container: Container, body: ExecBody): Promise<readonly string[] | undefined> {
    if (!body.Env || body.Env.length === 0) return undefined;
    const { config } = container.record;
    const base = ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'];
    if (config.Hostname) base.push(`HOSTNAME=${config.Hostname}`);
    const user = await this.#user(container, body.User || config.User || '');
    return mergeEnv([...base, `HOME=${user.home}`, ...(config.Env ?? [])], body.Env);
  }

  async #user(container: Container, text: string): ReturnType<typeof resolveUser> {
    const image = this.#host.images.get(container.record.imageId);
    const view = await this.#host.images.layers.view(image.config.rootfs.diff_ids, container.id);
    return resolveUser(text, [], async (path) => {
      const found = await view.find(path);
      return found?.stats.isFile() ? found.path : undefined;
    });
  }

  async #finish(exec: Exec, handle: ExecHandle): Promise<void> {
    exec.exit = await handle.wait().catch(() => ({ code: 137 })); // the container was taken away under it
    exec.container.execIds.delete(exec.id);
    const attributes = exec.container.attributes({
      execID: exec.id,
      exitCode: String(exec.exit.code),
    });
    this.#host.events.emit('container', 'exec_die', { id: exec.container.id, attributes });
    this.#expire(exec);
  }

  #expire(exec: Exec): void {
    exec.expiry = this.#host.clock.after(KEPT_MS, () => this.#execs.delete(exec.id));
  }

  async resize(
    id: string,
    size: { readonly rows: number; readonly columns: number },
  ): Promise<void> {
    const { handle } = this.#get(id);
    if (!handle) throw new ClusterError('conflict', `exec ${id} is not running`);
    await handle.resize(size.rows, size.columns);
  }

  async inspect(id: string): Promise<DockerJson> {
    const exec = this.#get(id);
    if (exec.exit === undefined && hasSaidAll(exec.handle)) await exec.finished;
    const [entrypoint = '', ...args] = exec.body.Cmd ?? [];
    return {
      ID: exec.id,
      Running: exec.handle !== undefined && exec.exit === undefined,
      ExitCode: exec.exit?.code ?? null,
      ProcessConfig: {
        tty: exec.body.Tty ?? false,
        entrypoint,
        arguments: args,
        privileged: exec.body.Privileged ?? false,
        ...(exec.body.User ? { user: exec.body.User } : {}),
      },
      OpenStdin: exec.body.AttachStdin ?? false,
      OpenStdout: exec.body.AttachStdout ?? false,
      OpenStderr: exec.body.AttachStderr ?? false,
      CanRemove: exec.exit !== undefined,
      ContainerID: exec.container.id,
      DetachKeys: '',
      Pid: exec.handle?.pid ?? 0,
    };
  }

  #get(id: string): Exec {
    const exec = this.#execs.get(id);
    if (exec) return exec;
    throw new ClusterError('not-found', `No such exec instance: ${id}`);
  }
}

/** Whoever read its output to the end asks for the exit code next: both come at once, but by different connections. */
function hasSaidAll(handle: ExecHandle | undefined): boolean {
  return handle !== undefined && (handle.stdout.readableEnded || handle.stderr.readableEnded);
}

function checkRunning(container: Container): void {
  if (!container.running) {
    throw new ClusterError('conflict', `container ${container.id} is not running`);
  }
  if (container.paused) {
    throw new ClusterError(
      'conflict',
      `Container ${container.name} is paused, unpause the container before exec`,
    );
  }
}

function failureCode(error: unknown): number {
  const code = (error as { code?: string }).code;
  if (code === 'exec-not-found') return 127;
  return code === 'exec-denied' ? 126 : 128;
}
