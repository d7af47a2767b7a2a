import { describe, expect, it } from 'vitest';
import type { SeccompProfile } from '../spec.ts';
import { compileSeccomp, type SeccompTarget } from './compile.ts';
import { DEFAULT_PROFILE } from './default-profile.ts';
import { ABIS } from './syscalls.ts';

const ALLOW = 0x7fff0000;
const errno = (n: number): number => 0x00050000 | n;
const target = (...caps: string[]): SeccompTarget => ({
  arch: 'x64',
  caps: new Set(caps),
  kernel: { major: 6, minor: 18 },
});

interface Call {
  readonly arch?: number;
  readonly nr: number;
  readonly args?: readonly bigint[];
}

/** struct seccomp_data */
function seccompData(call: Call): Buffer {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(call.nr, 0);
  data.writeUInt32LE(call.arch ?? 0xc000003e, 4);
  call.args?.forEach((arg, i) => {
    data.writeBigUInt64LE(BigInt.asUintN(64, arg), 16 + 8 * i);
  });
  return data;
}

const JUMPS: ReadonlyMap<number, (a: number, k: number) => boolean> = new Map([
  [0x15, (a: number, k: number): boolean => a === k],
  [0x25, (a: number, k: number): boolean => a > k],
  [0x35, (a: number, k: number): boolean => a >= k],
]);

/** Runs a filter as the kernel would (Documentation/networking/filter). */
function run(filter: Buffer, call: Call): number {
  const data = seccompData(call);
  let a = 0;
  for (let at = 0; at < filter.length; at += 8) {
    const code = filter.readUInt16LE(at);
    const k = filter.readUInt32LE(at + 4);
    const jump = JUMPS.get(code);
    if (code === 0x06) return k;
    if (jump) at += 8 * filter.readUInt8(jump(a, k) ? at + 2 : at + 3);
    else if (code === 0x20) a = data.readUInt32LE(k);
    else if (code === 0x54) a = (a & k) >>> 0;
    else if (code === 0x05) at += 8 * k;
    else throw new Error(`instruction ${code}`);
  }
  throw new Error('ran off the end');
}

const nr = (name: string, abi = 0): number => ABIS['x64']?.[abi]?.numbers.get(name) ?? -1;
const filter = compileSeccomp(DEFAULT_PROFILE, target());

describe('the default profile', () => {
  it('allows ordinary calls and refuses dangerous ones with EPERM', () => {
    for (const name of [
      'read',
      'openat',
      'execve',
      'futex',
      'epoll_wait',
      'ptrace',
      'clock_nanosleep',
    ]) {
      expect(run(filter, { nr: nr(name) }), name).toBe(ALLOW);
    }
    const refused =
      'mount umount2 setns unshare bpf keyctl add_key reboot kexec_load init_module pivot_root open_by_handle_at userfaultfd io_uring_setup';
    for (const name of refused.split(' ')) {
      expect(run(filter, { nr: nr(name) }), name).toBe(errno(1));
    }
  });

  it('lets clone make threads but no namespaces, and hides clone3', () => {
    expect(run(filter, { nr: nr('clone'), args: [0x3d0f00n] })).toBe(ALLOW);
    expect(run(filter, { nr: nr('clone'), args: [0x10000000n] })).toBe(errno(1));
    expect(run(filter, { nr: nr('clone3') })).toBe(errno(38));
  });

  it('looks at all 64 bits of an argument', () => {
    expect(run(filter, { nr: nr('personality'), args: [8n] })).toBe(ALLOW);
    expect(run(filter, { nr: nr('personality'), args: [(1n << 32n) + 8n] })).toBe(errno(1));
    expect(run(filter, { nr: nr('socket'), args: [40n] })).toBe(errno(1));
    expect(run(filter, { nr: nr('socket'), args: [2n] })).toBe(ALLOW);
  });

  it('grows with capabilities', () => {
    const admin = compileSeccomp(DEFAULT_PROFILE, target('CAP_SYS_ADMIN'));
    for (const name of ['mount', 'setns', 'clone3'])
      expect(run(admin, { nr: nr(name) })).toBe(ALLOW);
    expect(run(admin, { nr: nr('clone'), args: [0x10000000n] })).toBe(ALLOW);
    expect(run(admin, { nr: nr('reboot') })).toBe(errno(1));
  });

  it('judges 32-bit programs by their own numbers and refuses x32 and foreign ones', () => {
    const i386 = 0x40000003;
    expect(run(filter, { arch: i386, nr: nr('read', 1) })).toBe(ALLOW);
    expect(run(filter, { arch: i386, nr: nr('mount', 1) })).toBe(errno(1));
    expect(run(filter, { nr: 0x40000000 })).toBe(errno(38));
    expect(run(filter, { arch: 0xc00000b7, nr: 0 })).toBe(0x80000000);
  });

  it('says ENOSYS to calls younger than the table', () => {
    expect(run(filter, { nr: 460 })).toBe(errno(1));
    expect(run(filter, { nr: 463 })).toBe(errno(38));
    expect(run(filter, { nr: 2000 })).toBe(errno(38));
  });

  it('compiles for arm64', () => {
    const arm = compileSeccomp(DEFAULT_PROFILE, { ...target(), arch: 'arm64' });
    expect(run(arm, { arch: 0xc00000b7, nr: 63 })).toBe(ALLOW);
    expect(run(arm, { arch: 0xc00000b7, nr: 40 })).toBe(errno(1));
  });
});

describe('operators', () => {
  const with_ = (op: string, value: number, valueTwo?: number): Buffer => {
    const profile: SeccompProfile = {
      defaultAction: 'SCMP_ACT_KILL',
      syscalls: [
        { names: ['read'], action: 'SCMP_ACT_ALLOW', args: [{ index: 1, value, valueTwo, op }] },
      ],
    };
    return compileSeccomp(profile, target());
  };
  const EDGES = [
    0n,
    1n,
    5n,
    6n,
    7n,
    0xffffffffn,
    1n << 32n,
    (1n << 32n) + 6n,
    (5n << 32n) + 6n,
    (1n << 64n) - 1n,
  ];
  const OPS: readonly [string, (a: bigint, b: bigint) => boolean][] = [
    ['SCMP_CMP_EQ', (a, b): boolean => a === b],
    ['SCMP_CMP_NE', (a, b): boolean => a !== b],
    ['SCMP_CMP_GT', (a, b): boolean => a > b],
    ['SCMP_CMP_GE', (a, b): boolean => a >= b],
    ['SCMP_CMP_LT', (a, b): boolean => a < b],
    ['SCMP_CMP_LE', (a, b): boolean => a <= b],
  ];

  it.each(OPS)('%s compares as unsigned 64-bit numbers', (op, holds) => {
    for (const value of [6, 2 ** 32 + 6]) {
      const program = with_(op, value);
      for (const arg of EDGES) {
        const want = holds(arg, BigInt(value)) ? ALLOW : 0;
        expect(run(program, { nr: 0, args: [0n, arg] }), `${arg} ${op} ${value}`).toBe(want);
      }
    }
  });

  it('masks before it compares', () => {
    const program = with_('SCMP_CMP_MASKED_EQ', 0xf0, 0x30);
    expect(run(program, { nr: 0, args: [0n, 0x1ff3fn] })).toBe(ALLOW);
    expect(run(program, { nr: 0, args: [0n, 0x40n] })).toBe(0);
  });

  it('refuses what it does not know', () => {
    expect(() => with_('SCMP_CMP_WHATEVER', 1)).toThrow(
      expect.objectContaining({ code: 'invalid' }),
    );
  });
});
