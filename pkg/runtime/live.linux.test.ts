import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { processStartTime } from '../io/index.ts';
import { createRuntime } from './create-runtime.ts';
import { INIT_PATH, TestHost } from './test-host.ts';

let host: TestHost;
beforeAll(() => {
  host = new TestHost();
});
afterAll(() => host.close());

const MiB = 1 << 20;

describe('limits', () => {
  it('tells that the kernel killed for memory', async () => {
    const { exit } = await host.run('head -c 200000000 /dev/zero | tail', {
      resources: { memoryBytes: 16 * MiB, memorySwapBytes: 16 * MiB },
    });
    expect(exit.oomKilled).toBe(true);
  });

  it('stops a fork bomb at the limit of tasks', async () => {
    const { err } = await host.run('for i in 1 2 3 4 5 6 7 8; do sleep 0.1 & done; wait', {
      resources: { pidsLimit: 4 },
    });
    expect(err).toContain('fork');
  });

  it('are visible to the container and can be changed while it lives', async () => {
    const id = await host.running('echo ready; sleep 100', {
      resources: { memoryBytes: 64 * MiB, nanoCpus: 500_000_000, pidsLimit: 20 },
    });
    await host.runtime.update(id, { memoryBytes: 128 * MiB, pidsLimit: 30 });
    const stats = await host.runtime.stats(id);
    expect(stats).toMatchObject({ memoryLimitBytes: 128 * MiB, pidsLimit: 30 });
    expect(stats.pids).toBeGreaterThanOrEqual(1);
    expect(stats.cpuUsageNs).toBeGreaterThan(0n);
    const quota = await host.exec(
      id,
      'cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d" " -f1 /sys/fs/cgroup/cpu.max',
    );
    expect(quota.out).toBe('50000\n');
    await host.runtime.delete(id, { force: true });
  });

  it('are refused when they make no sense', async () => {
    const spec = host.spec('true', { resources: { memoryBytes: 1000 } });
    await expect(host.runtime.create(spec)).rejects.toMatchObject({ code: 'invalid' });
  });
});

describe('exec', () => {
  it('runs in the container with its own exit code and streams', async () => {
    const id = await host.running('echo ready; sleep 100', { hostname: 'inner' });
    const { exit, out, err } = await host.exec(id, 'hostname; echo oops >&2; exit 5');
    expect(exit.code).toBe(5);
    expect([out, err]).toEqual(['inner\n', 'oops\n']);
    expect(existsSync(`${host.dir}/state/${id}/exec`)).toBe(true);
    await host.runtime.delete(id, { force: true });
  });

  it('is confined and counted as the container is', async () => {
    const id = await host.running('echo ready; sleep 100', { capDrop: ['ALL'] });
    const { out } = await host.exec(
      id,
      'grep -E "CapBnd|Seccomp:" /proc/self/status; cut -d: -f3 /proc/self/cgroup | sort -u',
    );
    expect(out.replaceAll('\t', ' ')).toBe('CapBnd: 0000000000000000\nSeccomp: 2\n/\n');
    await host.runtime.delete(id, { force: true });
  });

  it('passes stdin until its end', async () => {
    const id = await host.running('echo ready; sleep 100');
    const handle = await host.runtime.exec(id, {
      execId: 'in',
      args: ['wc', '-c'],
      openStdin: true,
    });
    handle.stdin.end(Buffer.alloc(300_000, 'x'));
    expect(await text(handle.stdout)).toBe('300000\n');
    expect(await handle.wait()).toMatchObject({ code: 0 });
    await host.runtime.delete(id, { force: true });
  });

  it('delivers its output also when the stdin is closed after it ended', async () => {
    const id = await host.running('echo ready; sleep 100');
    const handle = await host.runtime.exec(id, { execId: 'short', args: ['echo', 'hi'] });
    // This process is busy, and reads nothing, until the exec has ended.
    const busyUntil = performance.now() + 500;
    while (performance.now() < busyUntil);
    handle.stdin.end();
    expect(await text(handle.stdout)).toBe('hi\n');
    expect(await handle.wait()).toMatchObject({ code: 0 });
    await host.runtime.delete(id, { force: true });
  });

  it('delivers all of a large output to a slow reader', async () => {
    const id = await host.running('echo ready; sleep 100');
    const handle = await host.runtime.exec(id, {
      execId: 'big',
      args: ['head', '-c', '5000000', '/dev/zero'],
    });
    let size = 0;
    for await (const chunk of handle.stdout) {
      size += chunk.length;
      await new Promise(setImmediate);
    }
    expect(size).toBe(5_000_000);
    await host.runtime.delete(id, { force: true });
  });

  it('fails in Docker’s words when the program is missing, and when the container has ended', async () => {
    const id = await host.running('echo ready; sleep 100');
    await expect(host.runtime.exec(id, { execId: 'x', args: ['nonesuch'] })).rejects.toMatchObject({
      code: 'exec-not-found',
    });
    await host.runtime.kill(id, 9);
    await host.runtime.wait(id);
    await expect(host.runtime.exec(id, { execId: 'y', args: ['true'] })).rejects.toMatchObject({
      code: 'conflict',
    });
    await host.runtime.delete(id);
  });
});

describe('a terminal', () => {
  it('has the size it is given and belongs to the container', async () => {
    const spec = host.spec('tty; stty size; read line; echo "got $line"', {
      tty: true,
      openStdin: true,
      consoleSize: { rows: 33, cols: 99 },
    });
    await host.runtime.create(spec);
    const terminal = await host.runtime.attach(spec.id);
    const output = text(terminal.stdout);
    await host.runtime.start(spec.id);
    await host.logged(spec.id, '33 99');
    terminal.stdin.write('hello\n');
    expect(await host.runtime.wait(spec.id)).toMatchObject({ code: 0 });
    expect(await output).toBe('/dev/pts/0\r\n33 99\r\nhello\r\ngot hello\r\n');
    await host.runtime.delete(spec.id);
  });

  it('can be resized while an exec uses it', async () => {
    const id = await host.running('echo ready; sleep 100');
    const handle = await host.runtime.exec(id, {
      execId: 'tty',
      args: ['sh', '-c', 'read go; stty size'],
      tty: true,
      openStdin: true,
    });
    await handle.resize(40, 120);
    handle.stdin.write('\n');
    expect(await text(handle.stdout)).toContain('40 120');
    await host.runtime.delete(id, { force: true });
  });
});

describe('attach', () => {
  it('sees the output from the first byte and feeds stdin', async () => {
    const spec = host.spec('echo begin; cat; echo end >&2', { openStdin: true });
    await host.runtime.create(spec);
    const stdio = await host.runtime.attach(spec.id);
    await host.runtime.start(spec.id);
    stdio.stdin.end('middle\n');
    expect(await text(stdio.stdout)).toBe('begin\nmiddle\n');
    expect(await text(stdio.stderr)).toBe('end\n');
    await host.runtime.delete(spec.id);
  });

  it('delivers everything to a reader that begins when the program has long ended', async () => {
    const spec = host.spec('head -c 250000 /dev/zero');
    await host.runtime.create(spec);
    const stdio = await host.runtime.attach(spec.id);
    await host.runtime.start(spec.id);
    expect(await host.runtime.wait(spec.id)).toMatchObject({ code: 0 });
    await host.runtime.delete(spec.id);
    expect(await text(stdio.stdout)).toHaveLength(250_000);
  });

  it('lets a program that is not root reopen its stdout', async () => {
    const { out } = await host.run('echo again >/dev/stdout', { user: { uid: 33, gid: 33 } });
    expect(out).toBe('again\n');
  });

  it('survives a client that sends nonsense', async () => {
    const id = await host.running('echo ready; sleep 100');
    const rude = connect(`${host.dir}/state/${id}/shim.sock`);
    await once(rude, 'connect');
    rude.write(Buffer.alloc(100, 0xff));
    await once(rude, 'close');
    expect(await host.runtime.state(id)).toMatchObject({ status: 'running' });
    await host.runtime.delete(id, { force: true });
  });
});

describe('pause', () => {
  it('stops all processes, allows a kill, and is undone by resume', async () => {
    const id = await host.running('echo ready; while :; do echo tick; sleep 0.01; done');
    await host.runtime.pause(id);
    expect(await host.runtime.state(id)).toMatchObject({ status: 'paused' });
    await expect(host.runtime.pause(id)).rejects.toMatchObject({ code: 'conflict' });
    await host.runtime.resume(id);
    expect(await host.runtime.state(id)).toMatchObject({ status: 'running' });
    await host.runtime.pause(id);
    await host.runtime.kill(id, 'KILL');
    expect(await host.runtime.wait(id)).toMatchObject({ code: 137 });
    await host.runtime.delete(id);
  });
});

describe('init', () => {
  it('puts a reaper before the program and passes signals and exit code on', async () => {
    const id = await host.running(
      'trap "exit 9" TERM; (sleep 0.01 &) ; echo ready $$; while :; do sleep 0.02; done',
      { init: true },
    );
    const rows = await host.runtime.top(id);
    expect(rows.length).toBeGreaterThanOrEqual(2);
    await host.runtime.kill(id, 'TERM');
    expect(await host.runtime.wait(id)).toMatchObject({ code: 9 });
    await host.runtime.delete(id);
  });
});

describe('an agent that is killed', () => {
  it('finds its containers again, and what happened meanwhile', async () => {
    const stateDir = `${host.dir}/state`;
    const first = host.spec(
      'trap "echo caught; exit 4" TERM; echo ready; while :; do sleep 0.02; done',
      {
        id: 'survivor',
      },
    );
    const second = host.spec('echo ready; exit 6', { id: 'gone' });
    const script = `
      import { createRuntime } from ${JSON.stringify(`${import.meta.dirname}/index.ts`)};
      const runtime = createRuntime(${JSON.stringify({ initPath: INIT_PATH, stateDir })});
      for (const spec of ${JSON.stringify([first, second])}) {
        await runtime.create(spec);
        await runtime.start(spec.id);
      }
      process.stdout.write('started');
      setInterval(() => {}, 1000);`;
    const agent = spawn(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', script],
      {
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    await once(agent.stdout, 'data');
    agent.kill('SIGKILL');
    await once(agent, 'close');

    const runtime = createRuntime({ initPath: INIT_PATH, stateDir });
    expect(await runtime.list()).toEqual(expect.arrayContaining(['gone', 'survivor']));
    expect(await runtime.wait('gone')).toMatchObject({ code: 6 });
    expect(await runtime.state('survivor')).toMatchObject({ status: 'running' });
    await runtime.kill('survivor', 'TERM');
    expect(await runtime.wait('survivor')).toMatchObject({ code: 4 });
    expect((await host.log('survivor')).map((r) => r.data.toString())).toEqual([
      'ready\n',
      'caught\n',
    ]);
    await runtime.delete('gone');
    await runtime.delete('survivor');
  });

  it('takes a process that ended and that nobody waits for for ended', async () => {
    // The shell becomes a program that waits for no children; before that it would wait for one that ended.
    const script = 'cat <&3 & echo $!; exec sleep 100';
    const parent = spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'inherit', 'pipe'] });
    const [, stdout, , input] = parent.stdio as unknown as [null, Readable, null, Writable];
    try {
      const [line] = (await once(stdout, 'data')) as [Buffer];
      const pid = Number(line.toString());
      await vi.waitFor(() => {
        expect(readFileSync(`/proc/${parent.pid}/comm`, 'utf8')).toBe('sleep\n');
      });
      input.end();
      await vi.waitFor(() => {
        expect(readFileSync(`/proc/${pid}/stat`, 'utf8')).toContain(') Z ');
      });
      expect(processStartTime(pid)).toBeUndefined();
      expect(processStartTime(parent.pid ?? 0)).toMatch(/^\d+$/);
    } finally {
      parent.kill('SIGKILL');
    }
  });

  it('takes a container whose shim was killed for lost, and its processes with it', async () => {
    const id = await host.running('echo ready; sleep 100');
    const status = readFileSync(`${host.dir}/state/${id}/status`, 'utf8');
    const shim = Number(/^shim (\d+)$/m.exec(status)?.[1]);
    const waiting = host.runtime.wait(id);
    process.kill(shim, 'SIGKILL');
    expect(await waiting).toMatchObject({ code: 137 });
    expect(await host.runtime.state(id)).toMatchObject({ status: 'lost' });
    await host.runtime.delete(id);
  });
});

describe('the log', () => {
  it('keeps the order of lines, marks pieces of long ones, and honours tail', async () => {
    const spec = host.spec(
      'i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done; head -c 40000 /dev/zero | tr "\\0" x; echo; printf last',
    );
    await host.runtime.create(spec);
    await host.runtime.start(spec.id);
    await host.runtime.wait(spec.id);
    const records = await host.log(spec.id);
    const lines = records.slice(0, 500).map((r) => r.data.toString());
    expect(lines).toEqual(Array.from({ length: 500 }, (_, i) => `line ${i}\n`));
    const long = records.slice(500, -1);
    expect(long.map((r) => r.partial)).toEqual([true, true, false]);
    expect(long.reduce((sum, r) => sum + r.data.length, 0)).toBe(40_001);
    expect(records.at(-1)).toMatchObject({ partial: true });
    const tail: string[] = [];
    for await (const r of host.runtime.readLog(spec.id, { tail: 2 })) tail.push(r.data.toString());
    expect(tail.at(-1)).toBe('last');
    expect(tail).toHaveLength(2);
    const middle = records[250]?.timeNs ?? 0n;
    for await (const r of host.runtime.readLog(spec.id, { since: middle })) {
      expect(r.timeNs).toBeGreaterThanOrEqual(middle);
    }
    await host.runtime.delete(spec.id);
  });

  it('is bounded by rotation, and a follower misses nothing', async () => {
    const path = `${host.dir}/rotated.log`;
    const spec = host.spec('i=0; while [ $i -lt 3000 ]; do echo number $i; i=$((i+1)); done', {
      log: { path, maxSizeBytes: 64 * 1024, maxFiles: 50 },
    });
    await host.runtime.create(spec);
    const followed: string[] = [];
    const follower = (async (): Promise<void> => {
      for await (const r of host.runtime.readLog(spec.id, { follow: true })) {
        followed.push(r.data.toString());
      }
    })();
    await host.runtime.start(spec.id);
    await follower;
    expect(followed).toEqual(Array.from({ length: 3000 }, (_, i) => `number ${i}\n`));
    expect(existsSync(`${path}.1`)).toBe(true);
    const tail: string[] = [];
    for await (const r of host.runtime.readLog(spec.id, { tail: 2600 })) {
      tail.push(r.data.toString());
    }
    expect(tail).toEqual(followed.slice(-2600));
    expect(readFileSync(`${path}.1`).length).toBeLessThanOrEqual(64 * 1024);
    await host.runtime.delete(spec.id);
    expect(existsSync(path)).toBe(true);
  });
});
