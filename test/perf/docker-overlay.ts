/**
 * Docker's overlay on two hosts of a lab: a dockerd each, in namespaces of its own, a swarm of both and an attachable
 * overlay with a container on each. Docker's programs and iptables are taken from PATH; nothing is installed.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { cgroupMounts, removeCgroup } from '../../deploy/lab/shell.ts';

const NEEDED = ['dockerd', 'containerd', 'runc', 'iptables', 'busybox'];
const NETWORK = 'paths';
const CGROUP = 'docker-overlay';
const STARTED_WITHIN_MS = 60_000;

/** A container's namespace and its address on the overlay. */
export interface DockerContainer {
  readonly netns: string;
  readonly address: string;
}

/** Programs that Docker's overlay needs and PATH does not have. */
export function missingForDocker(): readonly string[] {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return NEEDED.filter((program) => !folders.some((folder) => isProgram(join(folder, program))));
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Everything goes at `close`. */
export class DockerOverlay {
  readonly #folder = mkdtempSync(join(tmpdir(), 'docker-overlay-'));
  readonly #daemons: Daemon[] = [];

  /** @param machines two machines that reach each other */
  async start(
    machines: readonly { readonly netns: string; readonly address: string }[],
  ): Promise<readonly DockerContainer[]> {
    for (const machine of machines) {
      this.#daemons.push(new Daemon(join(this.#folder, `d${this.#daemons.length}`), machine));
    }
    for (const daemon of this.#daemons) await daemon.ready();
    const [first] = this.#daemons;
    if (first === undefined) throw new Error('no machines');
    await first.call('POST', '/swarm/init', first.swarmSettings());
    const { JoinTokens } = await first.call('GET', '/swarm');
    for (const daemon of this.#daemons.slice(1)) {
      await daemon.call('POST', '/swarm/join', {
        ...daemon.swarmSettings(),
        RemoteAddrs: [`${first.address}:2377`],
        JoinToken: JoinTokens.Worker,
      });
    }
    await first.call('POST', '/networks/create', {
      Name: NETWORK,
      Driver: 'overlay',
      Attachable: true,
    });
    const found: DockerContainer[] = [];
    for (const daemon of this.#daemons) found.push(await daemon.container());
    return found;
  }

  async close(): Promise<void> {
    for (const daemon of this.#daemons) await daemon.stop();
    for (const mount of cgroupMounts()) removeCgroup(join(mount, CGROUP));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** One dockerd with its containers. They are in a PID namespace whose end is theirs. */
class Daemon {
  readonly address: string;
  readonly #folder: string;
  readonly #process: ChildProcess;

  constructor(folder: string, machine: { readonly netns: string; readonly address: string }) {
    this.#folder = folder;
    this.address = machine.address;
    mkdirSync(folder, { recursive: true });
    const script = join(folder, 'host.sh');
    writeFileSync(script, hostScript(folder));
    const unshare = [
      'unshare',
      '-m',
      '--propagation=private',
      '-p',
      '-u',
      '-i',
      '-f',
      '--mount-proc',
      '--kill-child=SIGKILL',
    ];
    this.#process = spawn('nsenter', [`--net=${machine.netns}`, ...unshare, 'sh', script], {
      stdio: 'ignore',
    });
  }

  async ready(): Promise<void> {
    const until = performance.now() + STARTED_WITHIN_MS;
    for (;;) {
      try {
        await this.call('GET', '/_ping');
        return;
      } catch (error) {
        if (this.#process.exitCode !== null || performance.now() > until) {
          throw new Error(
            `dockerd did not start: ${readFileSync(join(this.#folder, 'log'), 'utf8')}`,
            { cause: error },
          );
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  swarmSettings(): Readonly<Record<string, string>> {
    return { ListenAddr: `${this.address}:2377`, AdvertiseAddr: this.address };
  }

  /** Starts one container on the overlay. */
  async container(): Promise<DockerContainer> {
    const image = this.#image();
    await this.call('POST', '/images/create?fromSrc=-&repo=paths&tag=latest', image);
    const { Id } = await this.call('POST', '/containers/create', {
      Image: 'paths:latest',
      Cmd: ['/busybox', 'sleep', '100000'],
      HostConfig: { NetworkMode: NETWORK },
    });
    await this.call('POST', `/containers/${Id}/start`);
    const { NetworkSettings } = await this.call('GET', `/containers/${Id}/json`);
    // The namespace's pin is in the daemon's mount namespace.
    const netns = join('/proc', this.#init(), 'root', NetworkSettings.SandboxKey);
    return { netns, address: NetworkSettings.Networks[NETWORK].IPAddress };
  }

  #image(): Buffer {
    const busybox = execFileSync('which', ['busybox'], { encoding: 'utf8' }).trim();
    const folder = join(this.#folder, 'image');
    mkdirSync(folder);
    execFileSync('cp', [busybox, join(folder, 'busybox')]);
    return execFileSync('tar', ['-C', folder, '-c', 'busybox'], { maxBuffer: 1 << 26 });
  }

  /** First process of the daemon's PID namespace. */
  #init(): string {
    const { pid } = this.#process;
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  }

  // biome-ignore lint/suspicious/noExplicitAny: answers of Docker's API
  call(method: string, path: string, body?: object): Promise<any> {
    return new Promise((resolve, reject) => {
      const asked = request(
        {
          socketPath: join(this.#folder, 'docker.sock'),
          method,
          path,
          headers: {
            'content-type': body instanceof Buffer ? 'application/x-tar' : 'application/json',
          },
        },
        (answer) => {
          let text = '';
          answer.on('data', (data: Buffer) => {
            text += data.toString();
          });
          answer.on('end', () => {
            if ((answer.statusCode ?? 500) >= 400) reject(new Error(`${method} ${path}: ${text}`));
            else
              resolve(
                answer.headers['content-type']?.includes('json') && !path.startsWith('/images')
                  ? JSON.parse(text || 'null')
                  : text,
              );
          });
        },
      );
      asked.on('error', reject);
      asked.end(body instanceof Buffer ? body : body && JSON.stringify(body));
    });
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#process.exitCode !== null) return resolve();
      this.#process.on('exit', () => resolve());
      process.kill(Number(this.#init()), 'SIGKILL');
    });
  }
}

/** Docker's own view of the machine: its links in /sys, an empty /run. */
function hostScript(folder: string): string {
  return [
    `mkdir -p ${folder}/cgroup ${folder}/data`,
    `mount --rbind /sys/fs/cgroup ${folder}/cgroup`,
    'mount -t sysfs sysfs /sys',
    `mount --rbind ${folder}/cgroup /sys/fs/cgroup`,
    'mount -t tmpfs tmpfs /run',
    'mkdir -p /run/lock',
    `dockerd --data-root ${folder}/data --exec-root /run/docker --pidfile /run/docker.pid -H unix://${folder}/docker.sock --cgroup-parent /${CGROUP} >${folder}/log 2>&1 &`,
    'while :; do wait; sleep 1; done',
    '',
  ].join('\n');
}
