import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { getPriority, setPriority } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRuntime } from './create-runtime.ts';
import { INIT_PATH, TestHost } from './test-host.ts';

let host: TestHost;
beforeAll(() => {
  host = new TestHost();
});
afterAll(() => host.close());

describe('the fence of a container', () => {
  const lease = (ms: number): { path: string; ms: number } => {
    const path = join(host.dir, `lease-${randomUUID()}`);
    writeFileSync(path, `${bootMs() + ms}\n`);
    return { path, ms: 1_500 };
  };

  it('kills it when the time in the file is over, without anybody asking, and not while it is renewed', async () => {
    const fence = lease(0);
    const spec = host.spec('echo ready; sleep 100', { fence });
    await host.runtime.create(spec);
    await host.runtime.start(spec.id);
    for (let round = 0; round < 20; round++) {
      // Never empty, as whoever renews a lease must take care.
      writeFileSync(`${fence.path}.next`, `${bootMs()}\n`);
      renameSync(`${fence.path}.next`, fence.path);
      await new Promise((settle) => setTimeout(settle, 100));
    }
    expect((await host.runtime.state(spec.id)).status).toBe('running');
    expect(await host.runtime.wait(spec.id)).toMatchObject({ code: 137, signal: 9, fenced: true });
    await host.runtime.delete(spec.id);
  });

  it('does not let it start when the time is over already, or nobody ever said a time', async () => {
    for (const fence of [lease(-1_501), { path: join(host.dir, 'nothing'), ms: 60_000 }]) {
      const spec = host.spec('echo ready; sleep 100', { fence });
      await host.runtime.create(spec);
      await expect(host.runtime.start(spec.id)).rejects.toMatchObject({ code: 'fenced' });
      await host.runtime.delete(spec.id, { force: true });
    }
  });
});

/** CLOCK_BOOTTIME. */
function bootMs(): number {
  return Math.floor(Number(readFileSync('/proc/uptime', 'utf8').split(' ', 1)[0]) * 1000);
}

describe('the priority of a container', () => {
  it('is that of other programs, whatever the agent took for itself', async () => {
    const before = getPriority();
    setPriority(-10);
    try {
      const { out } = await host.run("cut -d ' ' -f 19 /proc/self/stat");
      expect(out).toBe('0\n');
    } finally {
      setPriority(before);
    }
  });
});

describe('the end of a container', () => {
  it('reports the exit code', async () => {
    const { exit } = await host.run('exit 42');
    expect(exit).toMatchObject({ code: 42, signal: undefined, oomKilled: false });
  });

  it('reports a signal as 128 + its number', async () => {
    const id = await host.running('echo ready; sleep 100');
    await host.runtime.kill(id, 'SIGKILL');
    expect(await host.runtime.wait(id)).toMatchObject({ code: 137, signal: 9 });
    await host.runtime.delete(id);
  });

  it('delivers SIGTERM to a program that handles it', async () => {
    const id = await host.running(
      'trap "echo bye; exit 7" TERM; echo ready; while :; do sleep 0.02; done',
    );
    await host.runtime.kill(id, 'TERM');
    expect(await host.runtime.wait(id)).toMatchObject({ code: 7 });
    expect((await host.log(id)).at(-1)?.data.toString()).toBe('bye\n');
    await host.runtime.delete(id);
  });

  it('names a program that does not exist as Docker does, with code 127', async () => {
    const spec = host.spec('', { args: ['nonesuch'] });
    await host.runtime.create(spec);
    await expect(host.runtime.start(spec.id)).rejects.toMatchObject({
      code: 'exec-not-found',
      message: expect.stringContaining('exec: "nonesuch": executable file not found in $PATH'),
    });
    expect(await host.runtime.wait(spec.id)).toMatchObject({ code: 127 });
    await host.runtime.delete(spec.id);
  });

  it('names a program that may not be run, with code 126', async () => {
    const spec = host.spec('', { args: ['/etc/passwd'] });
    await host.runtime.create(spec);
    await expect(host.runtime.start(spec.id)).rejects.toMatchObject({
      code: 'exec-denied',
      message: expect.stringContaining('permission denied'),
    });
    expect(await host.runtime.wait(spec.id)).toMatchObject({ code: 126 });
    await host.runtime.delete(spec.id);
  });

  it('can be killed between create and start', async () => {
    const spec = host.spec('exit 0');
    const { pid, netns } = await host.runtime.create(spec);
    expect(existsSync(netns)).toBe(true);
    expect(await host.runtime.state(spec.id)).toMatchObject({ status: 'created', pid });
    await host.runtime.kill(spec.id, 'KILL');
    expect(await host.runtime.wait(spec.id)).toMatchObject({ code: 137 });
    await host.runtime.delete(spec.id);
  });

  it('leaves nothing when it cannot be created', async () => {
    const spec = host.spec('true', {
      mounts: [{ type: 'bind', source: '/etc/hostname', target: '/bin/busybox/x' }],
    });
    await expect(host.runtime.create(spec)).rejects.toMatchObject({ code: 'failed' });
    expect(await host.runtime.list()).not.toContain(spec.id);
  });
});

describe('what a container sees', () => {
  it('has the hostname, environment, directory and identity it was given', async () => {
    const { out } = await host.run('hostname; echo $COLOUR; pwd; id -u; id -g; id -G', {
      hostname: 'boxy',
      env: ['PATH=/bin', 'COLOUR=blue'],
      cwd: '/srv/app',
      user: { uid: 1000, gid: 1001, additionalGids: [2000, 2001] },
    });
    expect(out.split('\n')).toEqual([
      'boxy',
      'blue',
      '/srv/app',
      '1000',
      '1001',
      '1001 2000 2001',
      '',
    ]);
  });

  it('is process 1 of its own and sees the root of every cgroup tree', async () => {
    const { out } = await host.run(
      'echo $$; cut -d: -f3 /proc/self/cgroup | sort -u; ls /proc/self/fd',
    );
    expect(out.split('\n').slice(0, 5)).toEqual(['1', '/', '0', '1', '2']);
  });

  it('cannot write a read-only root but can write a volume and a tmpfs', async () => {
    const volume = `${host.dir}/volume`;
    mkdirSync(volume);
    const { out, err } = await host.run(
      'echo a >/x; echo b >/data/y; echo c >/scratch/z && cat /scratch/z',
      {
        readonlyRootfs: true,
        mounts: [
          { type: 'bind', source: volume, target: '/data' },
          { type: 'tmpfs', target: '/scratch', sizeBytes: 1 << 20 },
        ],
      },
    );
    expect(err).toContain('Read-only file system');
    expect(out).toBe('c\n');
    expect(readFileSync(`${volume}/y`, 'utf8')).toBe('b\n');
  });

  it('cannot write a read-only bind of a file', async () => {
    writeFileSync(`${host.dir}/secret`, 'hush');
    const { out, err } = await host.run('cat /run/secrets/key; echo no >/run/secrets/key', {
      mounts: [
        { type: 'bind', source: `${host.dir}/secret`, target: '/run/secrets/key', readOnly: true },
      ],
    });
    expect(out).toBe('hush');
    expect(err).toContain('Read-only file system');
  });

  it('finds kernel secrets masked and kernel switches read-only', async () => {
    const { out, err } = await host.run(
      'cat /proc/keys /proc/timer_list | wc -c; ls /sys/firmware | wc -l; echo 1 >/proc/sys/vm/swappiness',
    );
    expect(out).toBe('0\n0\n');
    expect(err).toContain('Read-only file system');
  });
});

describe('mounts over symlinks', () => {
  it('stay inside the container’s own root', async () => {
    mkdirSync(`${host.dir}/trap/bin`, { recursive: true });
    mkdirSync(`${host.dir}/evil`);
    const spec = host.spec('cat /leak/here', {
      mounts: [{ type: 'bind', source: `${host.dir}/secret`, target: '/leak/here' }],
    });
    const { upperDir } = spec.rootfs as { upperDir: string };
    symlinkSync(`../../../../../../../..${host.dir}/evil`, `${upperDir}/leak`);
    await host.runtime.create(spec).catch(() => undefined);
    expect(existsSync(`${host.dir}/evil/here`)).toBe(false);
    if ((await host.runtime.list()).includes(spec.id)) {
      await host.runtime.delete(spec.id, { force: true });
    }
  });

  it('make what a symlink to nowhere points to', async () => {
    const spec = host.spec('cat /etc/resolv.conf; cat /run/sub/stub.conf', {
      mounts: [{ type: 'bind', source: `${host.dir}/secret`, target: '/etc/resolv.conf' }],
    });
    const { upperDir } = spec.rootfs as { upperDir: string };
    mkdirSync(`${upperDir}/etc`);
    symlinkSync('../run/sub/stub.conf', `${upperDir}/etc/resolv.conf`);
    await host.runtime.create(spec);
    await host.runtime.start(spec.id);
    expect(await host.runtime.wait(spec.id)).toMatchObject({ code: 0 });
    expect((await host.log(spec.id)).map((r) => r.data.toString())).toEqual(['hushhush']);
    await host.runtime.delete(spec.id);
  });
});

describe('namespaces', () => {
  it('are its own, joined by path, or the host’s', async () => {
    const command = 'echo ready; readlink /proc/self/ns/net; readlink /proc/self/ns/pid; sleep 100';
    const id = await host.running(command);
    const { pid } = await host.runtime.state(id);
    const own = readlinkSync('/proc/self/ns/net');
    const theirs = readlinkSync(`/proc/${pid}/ns/net`);
    expect(theirs).not.toBe(own);
    const joined = await host.run('readlink /proc/self/ns/net', {
      namespaces: { network: { path: `/proc/${pid}/ns/net` } },
    });
    expect(joined.out).toBe(`${theirs}\n`);
    const shared = await host.run('readlink /proc/self/ns/net; test $$ -gt 1 && echo seen', {
      namespaces: { network: 'host', pid: 'host' },
    });
    expect(shared.out).toBe(`${own}\nseen\n`);
    await host.runtime.delete(id, { force: true });
  });

  it('need no layers: a directory can be the root', async () => {
    const { out } = await host.run('ls /bin/busybox; echo no >/x', {
      rootfs: { path: `${host.dir}/image` },
      readonlyRootfs: true,
    });
    expect(out).toBe('/bin/busybox\n');
    expect(existsSync(`${host.dir}/image/x`)).toBe(false);
  });
});

describe('what a container may do', () => {
  const status = (out: string, name: string): string | undefined =>
    new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(out)?.[1];

  it('has the default capabilities of Docker, with additions and removals', async () => {
    const plain = await host.run('cat /proc/self/status');
    expect(status(plain.out, 'CapEff')).toBe('00000000a80425fb');
    expect(status(plain.out, 'CapBnd')).toBe('00000000a80425fb');
    const changed = await host.run('cat /proc/self/status', {
      capDrop: ['ALL'],
      capAdd: ['NET_ADMIN'],
      noNewPrivileges: true,
    });
    expect(status(changed.out, 'CapEff')).toBe('0000000000001000');
    expect(status(changed.out, 'NoNewPrivs')).toBe('1');
  });

  it('starts with no signal blocked or ignored', async () => {
    const { out } = await host.run('exec cat /proc/self/status');
    expect([status(out, 'SigBlk'), status(out, 'SigIgn')]).toEqual([
      '0'.repeat(16),
      '0'.repeat(16),
    ]);
  });

  it('loses its capabilities when it is not root', async () => {
    const { out } = await host.run('cat /proc/self/status', { user: { uid: 1000, gid: 1000 } });
    expect(status(out, 'CapEff')).toBe('0000000000000000');
    expect(status(out, 'CapBnd')).toBe('00000000a80425fb');
  });

  it('is refused namespaces and mounts by seccomp unless unconfined', async () => {
    const confined = await host.run('grep Seccomp: /proc/self/status; unshare -U true');
    expect(confined.out).toContain('2');
    expect(confined.err).toContain('Operation not permitted');
    const open = await host.run('grep Seccomp: /proc/self/status; unshare -U true && echo made', {
      seccomp: 'unconfined',
    });
    expect(open.out).toMatch(/0\nmade\n/);
  });

  it('can make a device node and not use it', async () => {
    const { err } = await host.run('mknod /disk b 254 0 && head -c 1 /disk');
    expect(err).toContain('/disk: Operation not permitted');
  });

  it('may use a device it was given', async () => {
    const { out } = await host.run('head -c 5 /dev/nought | wc -c; head -c 1 /dev/forbidden', {
      devices: [{ hostPath: '/dev/zero', containerPath: '/dev/nought', permissions: 'r' }],
    });
    expect(out).toBe('5\n');
    const spec = host.spec('true', {
      devices: [{ hostPath: '/etc/hostname', containerPath: '/dev/x', permissions: 'r' }],
    });
    await expect(host.runtime.create(spec)).rejects.toMatchObject({ code: 'invalid' });
  });

  it('may do everything inside when it is privileged', async () => {
    const { exit, out } = await host.run(
      'mount -t tmpfs none /tmp && echo 1 >/proc/sys/net/ipv4/ip_forward && test -e /dev/kmsg && grep CapEff /proc/self/status',
      { privileged: true },
    );
    expect(exit.code).toBe(0);
    expect(out).not.toContain('00000000a80425fb');
  });

  it('gets the limits that the agent can give', async () => {
    const { out } = await host.run('ulimit -Sn; ulimit -Hn; ulimit -c', {
      rlimits: [
        { name: 'nofile', soft: 1024, hard: 1_048_576 },
        { name: 'core', soft: 0, hard: 0 },
      ],
    });
    const [soft, hard, core] = out.split('\n').map(Number);
    expect([soft, core]).toEqual([1024, 0]);
    expect(hard).toBeGreaterThanOrEqual(1024);
  });

  it('gets sysctls of its own network', async () => {
    const { out } = await host.run(
      'cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/core/somaxconn',
      { sysctls: { 'net.core.somaxconn': '777' } },
    );
    expect(out).toBe('0\n777\n');
    const kernel = host.spec('true', { sysctls: { 'kernel.pid_max': '100' } });
    await expect(host.runtime.create(kernel)).rejects.toMatchObject({ code: 'invalid' });
  });
});

it('says how a container ended whose directory has no room any more, and makes no other there', async () => {
  const stateDir = join(host.dir, 'small');
  const filler = join(stateDir, 'filler');
  mkdirSync(stateDir);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', stateDir]);
  const runtime = createRuntime({ initPath: INIT_PATH, stateDir });
  const [ends, stays] = [host.spec('exit 3'), host.spec('sleep 100')];
  try {
    for (const spec of [ends, stays]) await runtime.create(spec);
    expect(() => writeFileSync(filler, Buffer.alloc(1 << 20))).toThrow('ENOSPC');
    for (const { id } of [ends, stays]) await runtime.start(id);
    expect(await runtime.wait(ends.id)).toMatchObject({ code: 3 });
    expect((await runtime.state(stays.id)).status).toBe('running');
    await expect(runtime.create(host.spec('true'))).rejects.toThrow(/ENOSPC|[Nn]o space left/);
  } finally {
    rmSync(filler, { force: true });
    for (const { id } of [ends, stays]) await runtime.delete(id, { force: true });
    expect(readdirSync(stateDir)).toEqual([]);
    execFileSync('umount', [stateDir]);
  }
});
