import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { on } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { silentLogger } from '../../io/index.ts';
import { createHostNetwork } from '../host-network.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { linuxKernel } from '../kernel/linux.ts';
import type { HostNetwork, HostNetworkOptions } from '../network.ts';
import { reconcile } from '../reconcile.ts';
import { cgroupAt, insideCgroup, type Words } from './cgroup.ts';
import { type HostFamily, hostAddress } from './table.ts';

const PREFIX_LENGTH = { ipv4: 24, ipv6: 64 } as const;

/** Longer than any answer takes. */
const SILENCE_MS = 5000;

/** Hosts and containers as network namespaces joined by one switch; everything goes at `close`. */
export class NetworkLab {
  readonly folder = mkdtempSync(join(tmpdir(), 'overlaynet-'));
  readonly #pins = new Set<string>();
  readonly #closers: (() => Promise<void> | void)[] = [];
  readonly #hosts: HostFamily;

  /** Of the v2 tree, for programs of containers, made when a host is first told of it; undefined where there is none. */
  readonly cgroup = cgroupAt(`muster-${basename(this.folder)}`);

  constructor(options: { readonly hosts?: HostFamily | undefined } = {}) {
    this.#hosts = options.hosts ?? 'ipv4';
    this.namespace('switch');
    using ns = linuxKernel.open(this.pin('switch'));
    const bridge = { kind: 'bridge', name: 'sw', mtu: 1500 } as const;
    reconcile(ns, { ...NOTHING, links: [bridge], addresses: [] });
  }

  pin(name: string): string {
    return join(this.folder, 'ns', name);
  }

  namespace(name: string): string {
    const path = this.pin(name);
    linuxKernel.createNamespace(path);
    this.#pins.add(path);
    using ns = linuxKernel.open(path);
    reconcile(ns, { ...NOTHING, links: [{ kind: 'present', name: 'lo' }] });
    return path;
  }

  /** A machine at its `hostAddress` on the switch, and at fd00:50::`number` beside one of IPv4, without any network software. */
  machine(name: string, number: number): string {
    const path = this.namespace(name);
    using wire = linuxKernel.open(this.pin('switch'));
    using machine = linuxKernel.open(path);
    const port = {
      kind: 'veth',
      name: `p-${name}`,
      master: 'sw',
      peer: { name: 'eth0', namespace: machine },
    } as const;
    reconcile(wire, { ...NOTHING, links: [{ kind: 'bridge', name: 'sw' }, port] });
    reconcile(machine, {
      ...NOTHING,
      links: [{ kind: 'present', name: 'eth0' }],
      addresses: [
        `${hostAddress(number, this.#hosts)}/${PREFIX_LENGTH[this.#hosts]}`,
        ...(this.#hosts === 'ipv4' ? [`fd00:50::${number}/64`] : []),
      ].map((address) => ({ link: 'eth0', address })),
    });
    return path;
  }

  runDir(name: string): string {
    return join(this.folder, 'run', name);
  }

  /** A machine with our host network. */
  async host(
    name: string,
    number: number,
    { kernel = linuxKernel, ...options }: Partial<HostNetworkOptions> & { kernel?: Kernel } = {},
  ): Promise<HostNetwork> {
    const netns = this.#pins.has(this.pin(name)) ? this.pin(name) : this.machine(name, number);
    const all: HostNetworkOptions = {
      nodeId: `node-${number}`,
      runDir: this.runDir(name),
      underlayAddress: hostAddress(number, this.#hosts),
      netns,
      resolver: () => ({ servers: [], search: [], options: [] }),
      log: silentLogger,
      ...options,
    };
    const host = await createHostNetwork(all, kernel);
    this.#closers.push(() => host.removeEverything());
    return host;
  }

  /** Answers every TCP connection and UDP datagram on `port`, of both families, with `<label> <client address>`. */
  async serve(name: string, label: string, port: number): Promise<void> {
    await this.#serveAt(name, '0.0.0.0', { label, port });
    await this.#serveAt(name, '::', { label, port });
  }

  async #serveAt(
    name: string,
    address: '0.0.0.0' | '::',
    { label, port }: { readonly label: string; readonly port: number },
  ): Promise<void> {
    using ns = linuxKernel.open(this.pin(name));
    const tcp = ns.openSocket('tcp', address, port);
    const udp = ns.openSocket('udp', address, port);
    const server = createServer((connection) => {
      connection.on('error', () => undefined);
      connection.on('data', () => connection.write(`${label} ${connection.remoteAddress}`));
    });
    const datagrams = createSocket(address === '::' ? 'udp6' : 'udp4');
    datagrams.on('error', () => undefined);
    datagrams.on('message', (_, from) => {
      datagrams.send(`${label} ${from.address}`, from.port, from.address);
    });
    await new Promise<void>((resolve) => {
      server.listen({ fd: tcp.fd }, resolve);
    });
    await new Promise<void>((resolve) => {
      datagrams.bind({ fd: udp.fd }, resolve);
    });
    this.#closers.push(() => {
      server.close();
      datagrams.close();
    });
  }

  /** A UDP flow of this process whose questions leave before `ask` returns. */
  async flow(
    name: string,
    target: { readonly host: string; readonly port: number },
  ): Promise<Flow> {
    using ns = linuxKernel.open(this.pin(name));
    const isIpv6 = target.host.includes(':');
    const { fd } = ns.openSocket('udp', isIpv6 ? '::' : '0.0.0.0', 0);
    const socket = createSocket(isIpv6 ? 'udp6' : 'udp4');
    const answers = on(socket, 'message');
    socket.on('error', () => undefined);
    await new Promise<void>((resolve) => socket.bind({ fd }, resolve));
    await new Promise<void>((resolve) => socket.connect(target.port, target.host, resolve));
    this.#closers.push(() => {
      socket.close();
    });
    return {
      // A connected socket asks the kernel at once.
      ask: (): void => socket.send('x'),
      answer: async (): Promise<string> => {
        const silence = setTimeout(() => socket.emit('error', new Error('silence')), SILENCE_MS);
        try {
          return String((await answers.next()).value[0]);
        } finally {
          clearTimeout(silence);
        }
      },
    };
  }

  /** Output of a command inside a namespace; rejects with its error output. */
  run(name: string, command: string, ...words: readonly string[]): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = this.#spawn(name, command, ...words);
      let output = '';
      let errors = '';
      child.stdout.on('data', (data: Buffer) => {
        output += data.toString();
      });
      child.stderr.on('data', (data: Buffer) => {
        errors += data.toString();
      });
      child.on('error', reject);
      child.on('close', (code) => {
        if (code === 0) resolve(output);
        else reject(new Error(`${command} ${words.join(' ')}: ${errors || output}`));
      });
    });
  }

  /** Opens `count` connections one after the other; counts replies, and errors by their code. */
  async ask(
    name: string,
    target: { readonly host: string; readonly port: number; readonly udp?: boolean },
    count = 1,
  ): Promise<Readonly<Record<string, number>>> {
    const script = target.udp === true ? ASK_UDP : ASK_TCP;
    const words = [target.host, String(target.port), String(count)];
    return JSON.parse(await this.run(name, process.execPath, '-e', script, ...words));
  }

  /**
   * One connection (or UDP flow) that keeps asking: `next` is the coming reply or the error that ended it, asked anew
   * at every call. `outside`: of the cgroup.
   */
  hold(
    name: string,
    target: {
      readonly host: string;
      readonly port: number;
      readonly udp?: boolean;
      readonly outside?: boolean;
    },
  ): Held {
    const words = [target.host, String(target.port), target.udp === true ? 'udp' : 'tcp'];
    const command = [process.execPath, '-e', HOLD, ...words];
    const child =
      target.outside === true
        ? spawn('nsenter', [`--net=${this.pin(name)}`, ...command])
        : this.#spawn(name, ...command);
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    this.#closers.push(() => {
      child.kill();
    });
    return {
      next: async (): Promise<string> => {
        child.stdin.write('ask\n');
        return String((await lines.next()).value);
      },
    };
  }

  /** A command within the namespace, and within the cgroup when there is one. */
  inside(name: string, ...words: readonly string[]): Words {
    const command = ['nsenter', `--net=${this.pin(name)}`, ...words] as const;
    const { cgroup } = this;
    if (cgroup === undefined || !existsSync(cgroup)) return command;
    return insideCgroup(cgroup, ...command);
  }

  #spawn(name: string, ...words: readonly string[]): ChildProcessWithoutNullStreams {
    const [program, ...parameters] = this.inside(name, ...words);
    return spawn(program, parameters);
  }

  async close(): Promise<void> {
    const failures: unknown[] = [];
    for (const closer of this.#closers.reverse()) {
      try {
        await closer();
      } catch (error) {
        failures.push(error);
      }
    }
    for (const path of this.#pins) linuxKernel.removeNamespace(path);
    removeMounts(this.folder);
    rmSync(this.folder, { recursive: true, force: true });
    if (failures.length > 0) throw failures[0];
  }
}

/** Pins that a failed test left behind. */
function removeMounts(folder: string): void {
  for (const line of readFileSync('/proc/mounts', 'utf8').split('\n')) {
    const [, path = ''] = line.split(' ');
    if (path.startsWith(folder)) linuxKernel.removeNamespace(path);
  }
}

interface Flow {
  readonly ask: () => void;
  /** The coming one. */
  readonly answer: () => Promise<string>;
}

interface Held {
  readonly next: () => Promise<string>;
}

const NOTHING = {
  links: [],
  addresses: [],
  routes: [],
  rules: [],
  neighbours: [],
  fdb: [],
  prune: false,
} as const;

const ASK_TCP = `
const [host, port, count] = process.argv.slice(1);
const net = require('node:net');
const seen = {};
const note = (what) => { seen[what] = (seen[what] ?? 0) + 1; };
const one = () => new Promise((resolve) => {
  const socket = net.connect({ host, port: Number(port) }, () => socket.write('x'));
  socket.setTimeout(1000, () => { note('ETIMEDOUT'); socket.destroy(); });
  socket.on('data', (data) => { note(data.toString()); socket.destroy(); });
  socket.on('error', (error) => note(error.code));
  socket.on('close', resolve);
});
(async () => {
  for (let i = 0; i < Number(count); i++) await one();
  console.log(JSON.stringify(seen));
})();
`;

const ASK_UDP = `
const [host, port, count] = process.argv.slice(1);
const dgram = require('node:dgram');
const seen = {};
const note = (what) => { seen[what] = (seen[what] ?? 0) + 1; };
const one = () => new Promise((resolve) => {
  const socket = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4');
  const timer = setTimeout(() => { note('ETIMEDOUT'); socket.close(); }, 1000);
  const done = (what) => { note(what); clearTimeout(timer); socket.close(); };
  socket.on('message', (data) => done(data.toString()));
  socket.on('error', (error) => done(error.code));
  socket.on('close', resolve);
  socket.connect(Number(port), host, () => socket.send('x'));
});
(async () => {
  for (let i = 0; i < Number(count); i++) await one();
  console.log(JSON.stringify(seen));
})();
`;

const HOLD = `
const [host, port, kind] = process.argv.slice(1);
const say = (what) => console.log(what);
let ask;
if (kind === 'udp') {
  const socket = require('node:dgram').createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (data) => say(data.toString()));
  socket.on('error', (error) => say(error.code));
  ask = () => socket.send('x', Number(port), host);
} else {
  const socket = require('node:net').connect({ host, port: Number(port) });
  socket.on('data', (data) => say(data.toString()));
  socket.on('error', (error) => say(error.code));
  ask = () => socket.write('x');
}
process.stdin.on('data', () => ask());
`;
