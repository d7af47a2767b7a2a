import { RuntimeError } from '../runtime.ts';
import type { SeccompArg, SeccompCondition, SeccompProfile, SeccompRule } from '../spec.ts';
import { ABIS, type SyscallAbi } from './syscalls.ts';

/** What a profile's conditions are asked about. */
export interface SeccompTarget {
  /** Node's name of the machine: `x64`, `arm64`. */
  readonly arch: string;
  readonly caps: ReadonlySet<string>;
  readonly kernel: { readonly major: number; readonly minor: number };
}

// Classic BPF (linux/filter.h): class, size, mode and operation bits of the few instructions used.
const LOAD = 0x20;
const AND = 0x54;
const JUMP = 0x05;
const JEQ = 0x15;
const JGT = 0x25;
const JGE = 0x35;
const RETURN = 0x06;

// struct seccomp_data: nr, arch, instruction pointer, six 64-bit arguments (little endian on our machines).
const OFFSET_NR = 0;
const OFFSET_ARCH = 4;
const OFFSET_ARGS = 16;

const KILL_PROCESS = 0x80000000;
const ENOSYS_RETURN = 0x00050000 | 38;
const X32_BIT = 0x40000000;
const MAX_INSTRUCTIONS = 4096;

type Target = number | 'pass' | 'fail';
interface Instruction {
  readonly code: number;
  readonly k: number;
  readonly t: number;
  readonly f: number;
}
interface Labelled {
  readonly code: number;
  readonly k: number;
  readonly t?: Target | undefined;
  readonly f?: Target | undefined;
}

const plain = (code: number, k: number, t = 0, f = 0): Instruction => ({ code, k: k >>> 0, t, f });

const compiled = new WeakMap<SeccompProfile, Map<string, Buffer>>();

/** `compileSeccomp`, remembered per profile and target: hundreds of containers share a handful of filters. */
export function cachedSeccomp(profile: SeccompProfile, target: SeccompTarget): Buffer {
  const known = compiled.get(profile) ?? new Map<string, Buffer>();
  compiled.set(profile, known);
  const { arch, kernel, caps } = target;
  const key = [arch, kernel.major, kernel.minor, ...[...caps].sort()].join(' ');
  const filter = known.get(key) ?? compileSeccomp(profile, target);
  known.set(key, filter);
  return filter;
}

/** Compiles a profile to `struct sock_filter[]` for seccomp(2). Throws `invalid` for actions or operators we lack. */
export function compileSeccomp(profile: SeccompProfile, target: SeccompTarget): Buffer {
  const abis = ABIS[target.arch];
  if (!abis) throw new RuntimeError('invalid', `no seccomp support for ${target.arch}`);
  const sections = abis.map((abi) => section(profile, target, abi));
  const program: Instruction[] = [plain(LOAD, OFFSET_ARCH)];
  let ahead = 2 * abis.length - 1;
  abis.forEach((abi, i) => {
    program.push(plain(JEQ, abi.audit, 0, 1), plain(JUMP, ahead));
    ahead += (sections[i]?.length ?? 0) - 2;
  });
  program.push(plain(RETURN, KILL_PROCESS), ...sections.flat());
  if (program.length > MAX_INSTRUCTIONS) {
    throw new RuntimeError('invalid', 'the seccomp profile is too large for the kernel');
  }
  return encode(program);
}

function encode(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8);
  program.forEach((i, n) => {
    bytes.writeUInt16LE(i.code, n * 8);
    bytes.writeUInt8(i.t, n * 8 + 2);
    bytes.writeUInt8(i.f, n * 8 + 3);
    bytes.writeUInt32LE(i.k, n * 8 + 4);
  });
  return bytes;
}

function section(
  profile: SeccompProfile,
  target: SeccompTarget,
  abi: SyscallAbi,
): readonly Instruction[] {
  const rules = rulesByNumber(profile, target, abi);
  const fallback = actionValue(profile.defaultAction, profile.defaultErrnoRet);
  const highest = Math.max(...abi.numbers.values());
  const ranges: { readonly from: number; readonly code: readonly Instruction[]; key: string }[] =
    [];
  for (let nr = 0; nr <= highest; nr++) {
    const code = codeFor(rules.get(nr) ?? [], fallback);
    const key = JSON.stringify(code);
    if (ranges.at(-1)?.key !== key) ranges.push({ from: nr, code, key });
  }
  // Calls younger than our table: "no such call" makes libc fall back, "not permitted" makes programs fail.
  const unknown = fallback >>> 16 === 5 ? ENOSYS_RETURN : fallback;
  ranges.push({ from: highest + 1, code: [plain(RETURN, unknown)], key: '' });
  const guard =
    target.arch === 'x64' ? [plain(JGE, X32_BIT, 0, 1), plain(RETURN, ENOSYS_RETURN)] : [];
  return [plain(LOAD, OFFSET_NR), ...guard, ...search(ranges)];
}

/** Binary search over the ranges; every leaf returns. */
function search(
  ranges: readonly { readonly from: number; readonly code: readonly Instruction[] }[],
): readonly Instruction[] {
  const [only] = ranges;
  if (ranges.length === 1 && only) return only.code;
  const middle = ranges.length >> 1;
  const low = search(ranges.slice(0, middle));
  const high = search(ranges.slice(middle));
  const pivot = ranges[middle]?.from ?? 0;
  if (low.length <= 255) return [plain(JGE, pivot, low.length, 0), ...low, ...high];
  return [plain(JGE, pivot, 0, 1), plain(JUMP, low.length), ...low, ...high];
}

function rulesByNumber(
  profile: SeccompProfile,
  target: SeccompTarget,
  abi: SyscallAbi,
): ReadonlyMap<number, readonly SeccompRule[]> {
  const byNumber = new Map<number, SeccompRule[]>();
  for (const rule of profile.syscalls) {
    if (!applies(rule, target)) continue;
    for (const name of rule.names) {
      const nr = abi.numbers.get(name);
      if (nr === undefined) continue;
      const known = byNumber.get(nr);
      if (known) known.push(rule);
      else byNumber.set(nr, [rule]);
    }
  }
  return byNumber;
}

function applies(rule: SeccompRule, target: SeccompTarget): boolean {
  const { includes, excludes } = rule;
  if (includes && !holds(includes, target)) return false;
  if (!excludes) return true;
  const arch = dockerArch(target.arch);
  if (excludes.arches?.includes(arch)) return false;
  return !excludes.caps?.some((cap) => target.caps.has(cap));
}

function holds(condition: SeccompCondition, target: SeccompTarget): boolean {
  const { caps, arches, minKernel } = condition;
  if (arches?.length && !arches.includes(dockerArch(target.arch))) return false;
  if (caps && !caps.every((cap) => target.caps.has(cap))) return false;
  if (!minKernel) return true;
  const [major = 0, minor = 0] = minKernel.split('.').map(Number);
  const { kernel } = target;
  return kernel.major > major || (kernel.major === major && kernel.minor >= minor);
}

function dockerArch(arch: string): string {
  return arch === 'x64' ? 'amd64' : arch;
}

/** Conditional rules in order, then the unconditional one or the profile's default. */
function codeFor(rules: readonly SeccompRule[], fallback: number): readonly Instruction[] {
  const always = rules.find((rule) => !rule.args?.length);
  if (always) return [plain(RETURN, actionValue(always.action, always.errnoRet))];
  const blocks = rules.flatMap((rule) => ruleBlocks(rule));
  return [...blocks, plain(RETURN, fallback)];
}

/** All conditions of a rule must hold; conditions on one and the same argument are alternatives (as in runc). */
function ruleBlocks(rule: SeccompRule): readonly Instruction[] {
  const args = rule.args ?? [];
  const action = actionValue(rule.action, rule.errnoRet);
  const repeated = new Set(args.map((arg) => arg.index)).size < args.length;
  const alternatives = repeated ? args.map((arg) => [arg]) : [args];
  return alternatives.flatMap((all) => block(all, action));
}

function block(args: readonly SeccompArg[], action: number): readonly Instruction[] {
  const checks = args.map(check);
  const length = checks.reduce((sum, c) => sum + c.length, 0);
  const out: Instruction[] = [];
  for (const one of checks) {
    const end = out.length + one.length;
    for (const i of one) {
      const here = out.length + 1;
      const jump = (t: Target | undefined): number =>
        t === 'pass' ? end - here : t === 'fail' ? length + 1 - here : (t ?? 0);
      out.push(plain(i.code, i.k, jump(i.t), jump(i.f)));
    }
  }
  return [...out, plain(RETURN, action)];
}

/** One 64-bit comparison as two 32-bit ones. */
function check(arg: SeccompArg): readonly Labelled[] {
  const split = (value: number): [number, number] => {
    const wide = BigInt.asUintN(64, BigInt(value));
    return [Number(wide >> 32n), Number(wide & 0xffffffffn)];
  };
  const [high, low] = split(arg.value);
  const loadLow: Labelled = { code: LOAD, k: OFFSET_ARGS + 8 * arg.index };
  const loadHigh: Labelled = { code: LOAD, k: OFFSET_ARGS + 8 * arg.index + 4 };
  const above = (t: Target, f: Target, last: Labelled): readonly Labelled[] => [
    loadHigh,
    { code: JGT, k: high, t, f: 0 },
    { code: JEQ, k: high, t: 0, f },
    loadLow,
    last,
  ];
  switch (arg.op) {
    case 'SCMP_CMP_EQ':
      return [
        loadHigh,
        { code: JEQ, k: high, t: 0, f: 'fail' },
        loadLow,
        { code: JEQ, k: low, t: 'pass', f: 'fail' },
      ];
    case 'SCMP_CMP_NE':
      return [
        loadHigh,
        { code: JEQ, k: high, t: 0, f: 'pass' },
        loadLow,
        { code: JEQ, k: low, t: 'fail', f: 'pass' },
      ];
    case 'SCMP_CMP_GT':
      return above('pass', 'fail', { code: JGT, k: low, t: 'pass', f: 'fail' });
    case 'SCMP_CMP_GE':
      return above('pass', 'fail', { code: JGE, k: low, t: 'pass', f: 'fail' });
    case 'SCMP_CMP_LT':
      return above('fail', 'pass', { code: JGE, k: low, t: 'fail', f: 'pass' });
    case 'SCMP_CMP_LE':
      return above('fail', 'pass', { code: JGT, k: low, t: 'fail', f: 'pass' });
    case 'SCMP_CMP_MASKED_EQ': {
      const [wantHigh, wantLow] = split(arg.valueTwo ?? 0);
      return [
        loadHigh,
        { code: AND, k: high },
        { code: JEQ, k: wantHigh, t: 0, f: 'fail' },
        loadLow,
        { code: AND, k: low },
        { code: JEQ, k: wantLow, t: 'pass', f: 'fail' },
      ];
    }
    default:
      throw new RuntimeError('invalid', `seccomp operator ${arg.op} is unknown`);
  }
}

function actionValue(action: string, errno = 1): number {
  switch (action) {
    case 'SCMP_ACT_ALLOW':
      return 0x7fff0000;
    case 'SCMP_ACT_ERRNO':
      return 0x00050000 | (errno & 0xfff);
    case 'SCMP_ACT_LOG':
      return 0x7ffc0000;
    case 'SCMP_ACT_TRAP':
      return 0x00030000;
    case 'SCMP_ACT_KILL':
    case 'SCMP_ACT_KILL_THREAD':
      return 0;
    case 'SCMP_ACT_KILL_PROCESS':
      return KILL_PROCESS;
    default:
      throw new RuntimeError('invalid', `seccomp action ${action} is not supported`);
  }
}
