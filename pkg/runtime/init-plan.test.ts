import { describe, expect, it } from 'vitest';
import { containerPlan, execPlan, type PlanFacts } from './container-plan.ts';
import { encodePlan, TAG } from './init-plan.ts';
import type { ContainerSpec } from './spec.ts';

const facts: PlanFacts = {
  cgroupV1: ['cpu', 'memory'],
  cgroupV2: 'hybrid',
  isDirectory: (path) => path.endsWith('/'),
  seccomp: { arch: 'x64', kernel: { major: 6, minor: 1 } },
};
const spec: ContainerSpec = {
  id: 'web',
  rootfs: { lowerDirs: ['/layers/2', '/layers/1'], upperDir: '/rw/upper', workDir: '/rw/work' },
  args: ['nginx', '-g', 'daemon off;'],
  env: ['PATH=/bin'],
};
const host = {
  placement: { v1Tasks: ['/cg/cpu/web/tasks'] },
  mountPoint: '/state/web/root',
  logPath: '/state/web/log',
  nodes: [],
};

interface Decoded {
  readonly tag: number;
  readonly payload: Buffer;
}

function decode(plan: Buffer): readonly Decoded[] {
  expect(plan.subarray(0, 4)).toEqual(Buffer.from('MIP\x01'));
  const records: Decoded[] = [];
  for (let at = 4; at < plan.length; ) {
    const length = plan.readUInt32LE(at + 1);
    records.push({ tag: plan.readUInt8(at), payload: plan.subarray(at + 5, at + 5 + length) });
    at += 5 + length;
  }
  return records;
}

const strings = (plan: Buffer, tag: number): readonly string[] =>
  decode(plan)
    .filter((r) => r.tag === tag)
    .map((r) => r.payload.toString().replace(/\0$/, ''));

const numbers = (plan: Buffer, tag: number): readonly bigint[] => {
  const found = decode(plan).find((r) => r.tag === tag)?.payload ?? Buffer.alloc(0);
  return Array.from({ length: found.length >> 3 }, (_, i) => found.readBigUInt64LE(i * 8));
};

describe('encodePlan', () => {
  it('writes tag, length, numbers, strings and blob', () => {
    const plan = encodePlan([
      { tag: 10, numbers: [1, -1], strings: ['ab'], blob: Buffer.from('z') },
    ]);
    expect(plan.toString('hex')).toBe(
      `4d4950010a14000000${'01'.padEnd(16, '0')}${'f'.repeat(16)}6162007a`,
    );
  });

  it('refuses a string with NUL', () => {
    expect(() => encodePlan([{ tag: 1, strings: ['a\0b'] }])).toThrow(RangeError);
  });
});

describe('containerPlan', () => {
  it('keeps layers, arguments and environment in order', () => {
    const plan = containerPlan(spec, facts, host);
    expect(strings(plan, TAG.lower)).toEqual(['/layers/2', '/layers/1']);
    expect(strings(plan, TAG.arg)).toEqual(['nginx', '-g', 'daemon off;']);
    expect(strings(plan, TAG.env)).toEqual(['PATH=/bin']);
    expect(strings(plan, TAG.cwd)).toEqual(['/']);
  });

  it('makes all namespaces new unless told otherwise', () => {
    expect(numbers(containerPlan(spec, facts, host), TAG.flags)).toEqual([0x6e020000n, 0n]);
    const shared = containerPlan(
      { ...spec, namespaces: { network: { path: '/run/netns/a' }, pid: 'host' } },
      facts,
      host,
    );
    expect(numbers(shared, TAG.flags)).toEqual([0x0e020000n, 0n]);
    expect(numbers(shared, TAG.join)[0]).toBe(0x40000000n);
  });

  it('replaces a standard mount by one of the container’s own at the same place', () => {
    const plan = containerPlan(
      { ...spec, mounts: [{ type: 'tmpfs', target: '/dev/shm', sizeBytes: 5 }] },
      facts,
      host,
    );
    const shm = strings(plan, TAG.mount).filter((text) => text.includes('\0/dev/shm\0'));
    expect(shm).toHaveLength(1);
    expect(shm[0]).toContain('size=5');
  });

  it('gives a privileged container everything and hides nothing', () => {
    const plan = containerPlan({ ...spec, privileged: true }, facts, host);
    expect(numbers(plan, TAG.caps)[0]).toBe((1n << 41n) - 1n);
    expect(strings(plan, TAG.mask)).toEqual([]);
    expect(decode(plan).some((r) => r.tag === TAG.seccomp)).toBe(false);
  });

  it('refuses what would reach beyond the container', () => {
    const bad: Partial<ContainerSpec>[] = [
      { sysctls: { 'vm.swappiness': '1' } },
      { sysctls: { 'net.//.//.kernel.x': '1' } },
      { sysctls: { 'net.core.somaxconn': '1' }, namespaces: { network: 'host' } },
      { rlimits: [{ name: 'wishes', soft: 3, hard: 3 }] },
      { capAdd: ['FLY'] },
      { args: [] },
      { mounts: [{ type: 'tmpfs', target: 'relative' }] },
    ];
    for (const part of bad) {
      expect(() => containerPlan({ ...spec, ...part }, facts, host), JSON.stringify(part)).toThrow(
        expect.objectContaining({ code: 'invalid' }),
      );
    }
  });
});

describe('execPlan', () => {
  it('names its target and inherits what the exec does not say', () => {
    const container: ContainerSpec = { ...spec, cwd: '/srv', capDrop: ['ALL'] };
    const target = { placement: host.placement, pid: 7, startTime: '12345678901234' };
    const plan = execPlan(container, { execId: 'e', args: ['ls'], tty: true }, facts, target);
    expect(numbers(plan, TAG.target)).toEqual([7n, 12345678901234n]);
    expect(numbers(plan, TAG.flags)[1]).toBe(1n);
    expect(numbers(plan, TAG.caps)).toEqual([0n, 0n]);
    expect(strings(plan, TAG.cwd)).toEqual(['/srv']);
    expect(strings(plan, TAG.overlay)).toEqual([]);
  });
});
