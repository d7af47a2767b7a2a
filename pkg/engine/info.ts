/** The machine's part of `GET /info` and `GET /version`. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { cpus, release, totalmem } from 'node:os';
import type { DockerJson } from './docker-shape.ts';
import type { Host } from './host.ts';
import { statusWord } from './inspect.ts';

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'x86_64', arm64: 'aarch64' };

export async function hostInfo(host: Host): Promise<DockerJson> {
  const words = host.registry.list().map(statusWord);
  const count = (word: string): number => words.filter((each) => each === word).length;
  const { options } = host;
  return {
    ID: '',
    Containers: words.length,
    ContainersRunning: count('running'),
    ContainersPaused: count('paused'),
    ContainersStopped: words.length - count('running') - count('paused'),
    Images: host.images.list().length,
    Driver: 'overlay2',
    DriverStatus: [['Native Overlay Diff', 'true']],
    DockerRootDir: options.dataDir,
    Plugins: {
      Volume: ['local'],
      Network: ['bridge', 'host', 'null', 'overlay'],
      Authorization: null,
      Log: ['json-file', 'local', 'none'],
    },
    MemoryLimit: true,
    SwapLimit: true,
    CpuCfsPeriod: true,
    CpuCfsQuota: true,
    CPUShares: true,
    CPUSet: true,
    PidsLimit: true,
    OomKillDisable: false,
    IPv4Forwarding: true,
    Debug: false,
    NFd: 0,
    NGoroutines: 0,
    NEventsListener: 0,
    SystemTime: new Date(host.clock.now()).toISOString(),
    LoggingDriver: 'json-file',
    CgroupDriver: 'cgroupfs',
    CgroupVersion: existsSync('/sys/fs/cgroup/cgroup.controllers') ? '2' : '1',
    KernelVersion: release(),
    OperatingSystem: await operatingSystem(),
    OSVersion: '',
    OSType: 'linux',
    Architecture: ARCHITECTURES[process.arch] ?? process.arch,
    NCPU: cpus().length,
    MemTotal: totalmem(),
    IndexServerAddress: 'https://index.docker.io/v1/',
    RegistryConfig: registryConfig(host),
    GenericResources: null,
    HttpProxy: '',
    HttpsProxy: '',
    NoProxy: '',
    Name: options.hostname,
    Labels: options.labels ?? [],
    ExperimentalBuild: false,
    ServerVersion: options.version,
    Runtimes: { muster: { path: 'muster-init' } },
    DefaultRuntime: 'muster',
    LiveRestoreEnabled: true,
    Isolation: '',
    InitBinary: 'muster-init',
    ContainerdCommit: { ID: '' },
    RuncCommit: { ID: '' },
    InitCommit: { ID: '' },
    SecurityOptions: ['name=seccomp,profile=builtin', 'name=cgroupns'],
    Warnings: [],
  };
}

function registryConfig(host: Host): DockerJson {
  const { insecure, mirrors } = host.options.registry ?? {};
  const own = (name: string, secure: boolean): DockerJson => ({
    Name: name,
    Mirrors: [],
    Secure: secure,
    Official: false,
  });
  const hub = { Name: 'docker.io', Mirrors: mirrors ?? [], Secure: true, Official: true };
  const others = (insecure ?? []).map((name) => [name, own(name, false)] as const);
  return {
    InsecureRegistryCIDRs: ['127.0.0.0/8'],
    IndexConfigs: { 'docker.io': hub, ...Object.fromEntries(others) },
    Mirrors: mirrors ?? [],
  };
}

async function operatingSystem(): Promise<string> {
  const text = await readFile('/etc/os-release', 'utf8').catch(() => '');
  return /^PRETTY_NAME="?([^"\n]*)/m.exec(text)?.[1] ?? 'Linux';
}

export async function versionInfo(host: Host): Promise<DockerJson> {
  const Version = host.options.version;
  const Arch = process.arch === 'x64' ? 'amd64' : process.arch;
  return {
    Platform: { Name: 'Muster' },
    Components: [
      { Name: 'Engine', Version, Details: { Arch, Os: 'linux', KernelVersion: release() } },
    ],
    Version,
    GitCommit: '',
    GoVersion: `node ${process.version}`,
    Os: 'linux',
    Arch,
    KernelVersion: release(),
    BuildTime: '',
  };
}
