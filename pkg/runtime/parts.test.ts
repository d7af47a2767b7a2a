import { describe, expect, it } from 'vitest';
import { capabilityMask, resolveCapabilities } from './capabilities.ts';
import { parseCgroupMounts } from './cgroup/hierarchy.ts';
import { checkResources, cpuQuota, memoryPlusSwap } from './cgroup/resources.ts';
import { deviceFilter, deviceRules, formatDeviceRule } from './devices.ts';
import { encodeFrames, FrameReader } from './frame.ts';
import { parseLogRecord } from './log-file.ts';
import { signalNumber } from './signals.ts';
import { lookAtShim, parseStatus } from './status.ts';

describe('capabilities', () => {
  it('follow Docker’s arithmetic of ALL', () => {
    expect(capabilityMask(resolveCapabilities({}))).toBe(0xa80425fbn);
    expect(capabilityMask(resolveCapabilities({ drop: ['ALL'], add: ['net_admin'] }))).toBe(
      0x1000n,
    );
    const allButOne = resolveCapabilities({ add: ['ALL'], drop: ['CAP_SYS_ADMIN'] });
    expect(allButOne.has('CAP_SYS_ADMIN')).toBe(false);
    expect(allButOne.size).toBe(40);
  });
});

describe('cgroup mounts', () => {
  it('are read from a hybrid machine, with shared hierarchies', () => {
    const mounts = parseCgroupMounts(
      [
        '31 23 0:28 / /sys/fs/cgroup rw shared:1 - tmpfs tmpfs rw',
        '32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct',
        '40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd',
        '41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate',
      ].join('\n'),
    );
    expect(mounts.v2).toBe('/sys/fs/cgroup/unified');
    expect([...mounts.v1]).toEqual([
      ['cpu', '/sys/fs/cgroup/cpu,cpuacct'],
      ['cpuacct', '/sys/fs/cgroup/cpu,cpuacct'],
      ['name=systemd', '/sys/fs/cgroup/systemd'],
    ]);
  });
});

describe('resources', () => {
  it('turn CPUs into a quota and memory into memory plus swap', () => {
    expect(cpuQuota({ nanoCpus: 1_500_000_000 })).toEqual({ quota: 150_000, period: 100_000 });
    expect(cpuQuota({})).toBeUndefined();
    expect(memoryPlusSwap({ memoryBytes: 10 })).toBe(20);
    expect(memoryPlusSwap({ memoryBytes: 10, memorySwapBytes: -1 })).toBe(-1);
  });

  it('are refused in Docker’s words', () => {
    expect(() => checkResources({ memoryBytes: 1 })).toThrow('Minimum memory limit allowed is 6MB');
    expect(() => checkResources({ memoryBytes: 2e7, memorySwapBytes: 1e7 })).toThrow('memoryswap');
    expect(() => checkResources({ blkioWeight: 5 })).toThrow('blkio');
  });
});

describe('device rules', () => {
  const rules = deviceRules({ privileged: false, nodes: [], rules: ['c 42:* rm'] });

  it('are written as the v1 controller reads them', () => {
    expect(rules.map(formatDeviceRule)).toEqual(
      expect.arrayContaining(['c *:* m', 'c 1:3 rwm', 'c 136:* rwm', 'c 42:* rm']),
    );
    expect(deviceRules({ privileged: true, nodes: [], rules: [] }).map(formatDeviceRule)).toEqual([
      'a',
    ]);
  });

  it('become an eBPF program that decides the same', () => {
    const program = deviceFilter(rules);
    const [block, char] = [1, 2];
    const [mknod, read, write] = [1, 2, 4];
    const allowed = (type: number, access: number, major: number, minor: number): boolean =>
      runDeviceFilter(program, (access << 16) | type, major, minor);
    expect(allowed(char, read | write, 1, 3)).toBe(true);
    expect(allowed(block, mknod, 254, 0)).toBe(true);
    expect(allowed(block, read, 254, 0)).toBe(false);
    expect(allowed(char, read, 42, 9)).toBe(true);
    expect(allowed(char, read | write, 42, 9)).toBe(false);
    expect(allowed(char, read, 136, 77)).toBe(true);
    expect(allowed(char, read, 10, 200)).toBe(false);
  });

  it('are refused when malformed', () => {
    expect(() => deviceRules({ privileged: false, nodes: [], rules: ['q 1:1 r'] })).toThrow(
      'device',
    );
  });
});

/** The few instructions of a device filter, as the kernel runs them. */
function runDeviceFilter(program: Buffer, ...context: readonly number[]): boolean {
  const r = Array.from({ length: 11 }, () => 0);
  for (let pc = 0; pc < program.length / 8; pc++) {
    const at = pc * 8;
    const dst = (program[at + 1] ?? 0) & 15;
    const src = (program[at + 1] ?? 0) >> 4;
    const off = program.readInt16LE(at + 2);
    const imm = program.readInt32LE(at + 4);
    const [left = 0, right = 0] = [r[dst], r[src]];
    switch (program[at]) {
      case 0x61:
        r[dst] = context[off / 4] ?? 0;
        break;
      case 0xbf:
        r[dst] = right;
        break;
      case 0xb7:
        r[dst] = imm;
        break;
      case 0x57:
        r[dst] = left & imm;
        break;
      case 0x77:
        r[dst] = left >>> imm;
        break;
      case 0x55:
        if (left !== imm) pc += off;
        break;
      case 0x5d:
        if (left !== right) pc += off;
        break;
      case 0x95:
        return r[0] === 1;
      default:
        throw new Error(`instruction ${program[at]}`);
    }
  }
  throw new Error('ran off the end');
}

describe('frames', () => {
  it('survive any cutting of the stream', () => {
    const bytes = Buffer.concat([
      encodeFrames(1, Buffer.alloc(9000, 'a')),
      encodeFrames(2, Buffer.from('b')),
    ]);
    const reader = new FrameReader();
    const frames = [...bytes].flatMap((byte) => reader.push(Buffer.from([byte])));
    expect(frames.map((f) => [f.type, f.payload.length])).toEqual([
      [1, 8192],
      [1, 808],
      [2, 1],
    ]);
  });
});

describe('log records', () => {
  const bytes = Buffer.concat([
    Buffer.from('0000000302010000', 'hex'),
    Buffer.from('0000000000000007', 'hex'),
    Buffer.from('abc'),
    Buffer.from('00000003', 'hex'),
  ]);

  it('are read when whole', () => {
    expect(parseLogRecord(bytes)).toEqual({
      size: 23,
      record: { timeNs: 7n, stream: 'stderr', partial: true, data: Buffer.from('abc') },
    });
    for (let n = 0; n < bytes.length; n++)
      expect(parseLogRecord(bytes.subarray(0, n))).toBeUndefined();
  });

  it('are not believed when damaged', () => {
    expect(parseLogRecord(Buffer.alloc(64, 0xff))).toBeUndefined();
  });
});

describe('signals', () => {
  it('have numbers, names and real-time names', () => {
    expect(['KILL', 'sigterm', '15', 1, 'RTMIN+3'].map(signalNumber)).toEqual([9, 15, 15, 1, 37]);
    for (const bad of ['NOPE', 0, 65, '99'])
      expect(() => signalNumber(bad)).toThrow('Invalid signal');
  });
});

describe('status files', () => {
  it('carry the exit and its reason', () => {
    const text =
      'state exited\npid 5\npidstart 6\nshim 4\nshimstart 6\nstarted 10\ncode 127\nsignal 0\noom 0\nfinished 20\nerror exec: "x": no\n';
    expect(parseStatus(text)).toMatchObject({
      state: 'exited',
      pid: 5,
      startedAtNs: 10n,
      exit: {
        code: 127,
        signal: undefined,
        oomKilled: false,
        fenced: false,
        error: 'exec: "x": no',
        finishedAtNs: 20n,
      },
    });
  });

  it('are ignored when they are not whole', () => {
    expect(parseStatus('')).toBeUndefined();
    expect(parseStatus('state unheard\n')).toBeUndefined();
  });
});

describe('a shim that ends while it is looked at', () => {
  const running = 'state running\npid 5\nshim 4\nshimstart 44\n';
  const exited = `${running.replace('running', 'exited')}code 0\n`;

  it('has an exit, whichever looks it falls between', () => {
    for (let looksBefore = 0; looksBefore <= 4; looksBefore++) {
      let looks = 0;
      const ended = (): boolean => looks++ >= looksBefore;
      const { status, alive } = lookAtShim(
        () => parseStatus(ended() ? exited : running),
        () => (ended() ? undefined : '44'),
      );
      expect(alive || status?.exit?.code === 0, `ended after ${looksBefore} looks`).toBe(true);
    }
  });

  it('is lost when it recorded none', () => {
    const look = lookAtShim(
      () => parseStatus(running),
      () => undefined,
    );
    expect(look).toMatchObject({ alive: false, status: { state: 'running' } });
  });
});
