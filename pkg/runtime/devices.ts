import { RuntimeError } from './runtime.ts';

/** One rule of the device cgroup. `-1` for major or minor is "any". */
export interface DeviceRule {
  readonly type: 'a' | 'b' | 'c';
  readonly major: number;
  readonly minor: number;
  /** Of `rwm`. */
  readonly access: string;
}

/** A device node to make in the container. */
export interface DeviceNode {
  readonly path: string;
  readonly type: 'b' | 'c';
  readonly major: number;
  readonly minor: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

const node = (path: string, major: number, minor: number): DeviceNode => ({
  path,
  type: 'c',
  major,
  minor,
  mode: 0o666,
  uid: 0,
  gid: 0,
});

/** Nodes every container has (OCI runtime spec, "Default Devices"). */
export const DEFAULT_NODES: readonly DeviceNode[] = [
  node('/dev/null', 1, 3),
  node('/dev/zero', 1, 5),
  node('/dev/full', 1, 7),
  node('/dev/random', 1, 8),
  node('/dev/urandom', 1, 9),
  node('/dev/tty', 5, 0),
];

const ANY = -1;

/** What every container may do: make any node (useless without access), use the default nodes and terminals. */
const DEFAULT_RULES: readonly DeviceRule[] = [
  { type: 'c', major: ANY, minor: ANY, access: 'm' },
  { type: 'b', major: ANY, minor: ANY, access: 'm' },
  ...DEFAULT_NODES.map(
    ({ major, minor }): DeviceRule => ({ type: 'c', major, minor, access: 'rwm' }),
  ),
  { type: 'c', major: 5, minor: 1, access: 'rwm' },
  { type: 'c', major: 5, minor: 2, access: 'rwm' },
  { type: 'c', major: 136, minor: ANY, access: 'rwm' },
];

/** Everything else is refused. */
export function deviceRules(options: {
  readonly privileged: boolean;
  readonly nodes: readonly { readonly node: DeviceNode; readonly access: string }[];
  readonly rules: readonly string[];
}): readonly DeviceRule[] {
  if (options.privileged) return [{ type: 'a', major: ANY, minor: ANY, access: 'rwm' }];
  const own = options.nodes.map(
    ({ node: n, access }): DeviceRule => ({ type: n.type, major: n.major, minor: n.minor, access }),
  );
  return [...DEFAULT_RULES, ...own, ...options.rules.map(parseDeviceRule)];
}

/** `c 42:* rmw` (docker run --device-cgroup-rule). */
function parseDeviceRule(text: string): DeviceRule {
  const match = /^([abc]) (\d+|\*):(\d+|\*) ([rwm]{1,3})$/.exec(text);
  if (!match) throw new RuntimeError('invalid', `invalid device cgroup rule: '${text}'`);
  const [, type, major, minor, access = ''] = match;
  const number = (part: string | undefined): number => (part === '*' ? ANY : Number(part));
  const kind = type === 'b' ? 'b' : type === 'c' ? 'c' : 'a';
  return { type: kind, major: number(major), minor: number(minor), access };
}

/** The rule as the v1 `devices.allow` file wants it. */
export function formatDeviceRule(rule: DeviceRule): string {
  if (rule.type === 'a') return 'a';
  const part = (value: number): string => (value === ANY ? '*' : String(value));
  return `${rule.type} ${part(rule.major)}:${part(rule.minor)} ${rule.access}`;
}

// eBPF (linux/bpf.h): struct bpf_cgroup_dev_ctx is { u32 access<<16 | type, u32 major, u32 minor }.
const LOAD_U32 = 0x61;
const MOVE_REG = 0xbf;
const MOVE_IMM = 0xb7;
const AND_IMM = 0x57;
const SHIFT_RIGHT = 0x77;
const JUMP_NE_IMM = 0x55;
const JUMP_NE_REG = 0x5d;
const EXIT = 0x95;
const TYPE = { b: 1, c: 2 } as const;
const ACCESS: Readonly<Record<string, number>> = { m: 1, r: 2, w: 4 };

type Ebpf = readonly [code: number, dst: number, src: number, off: number, imm: number];

/** The same rules as a device filter for a v2 cgroup: any matching rule that covers the whole access allows. */
export function deviceFilter(rules: readonly DeviceRule[]): Buffer {
  const program: Ebpf[] = [
    [LOAD_U32, 2, 1, 0, 0],
    [MOVE_REG, 3, 2, 0, 0],
    [AND_IMM, 2, 0, 0, 0xffff],
    [SHIFT_RIGHT, 3, 0, 0, 16],
    [LOAD_U32, 4, 1, 4, 0],
    [LOAD_U32, 5, 1, 8, 0],
    ...rules.flatMap(ruleCode),
    [MOVE_IMM, 0, 0, 0, 0],
    [EXIT, 0, 0, 0, 0],
  ];
  const bytes = Buffer.alloc(program.length * 8);
  program.forEach(([code, dst, src, off, imm], i) => {
    bytes.writeUInt8(code, i * 8);
    bytes.writeUInt8((src << 4) | dst, i * 8 + 1);
    bytes.writeInt16LE(off, i * 8 + 2);
    bytes.writeInt32LE(imm, i * 8 + 4);
  });
  return bytes;
}

function ruleCode(rule: DeviceRule): readonly Ebpf[] {
  const access = [...rule.access].reduce((bits, letter) => bits | (ACCESS[letter] ?? 0), 0);
  const checks: Ebpf[] = [];
  if (rule.type !== 'a') checks.push([JUMP_NE_IMM, 2, 0, 0, TYPE[rule.type]]);
  if (rule.major !== ANY) checks.push([JUMP_NE_IMM, 4, 0, 0, rule.major]);
  if (rule.minor !== ANY) checks.push([JUMP_NE_IMM, 5, 0, 0, rule.minor]);
  const code: Ebpf[] = [
    ...checks,
    [MOVE_REG, 1, 3, 0, 0],
    [AND_IMM, 1, 0, 0, access],
    [JUMP_NE_REG, 1, 3, 0, 0],
    [MOVE_IMM, 0, 0, 0, 1],
    [EXIT, 0, 0, 0, 0],
  ];
  return code.map(([op, dst, src, off, imm], i): Ebpf => {
    const jumps = op === JUMP_NE_IMM || op === JUMP_NE_REG;
    return [op, dst, src, jumps ? code.length - i - 1 : off, imm];
  });
}
