/** The InitPlan's bytes: `MIP`, version, then records {u8 tag, u32 length LE, numbers u64 LE, strings NUL-terminated, blob}. */

/** Record tags; the counterpart is `init/plan.h`. */
export const TAG = {
  flags: 1,
  join: 2,
  target: 3,
  cgroupV1: 4,
  cgroupV2: 5,
  oomFile: 6,
  deviceBpf: 7,
  log: 8,
  overlay: 9,
  lower: 10,
  rootBind: 11,
  mount: 12,
  device: 13,
  link: 14,
  sysctl: 15,
  readonly: 16,
  mask: 17,
  hostname: 18,
  domain: 19,
  rlimit: 20,
  oomAdj: 21,
  caps: 22,
  user: 23,
  group: 24,
  seccomp: 25,
  windowSize: 26,
  cwd: 27,
  arg: 28,
  env: 29,
  fence: 30,
} as const;

/** Bits of the second number of a `flags` record. */
export const OPTION = { tty: 1, stdin: 2, init: 4, noNewPrivs: 8, readonlyRoot: 16 } as const;

export interface PlanRecord {
  readonly tag: number;
  readonly numbers?: readonly (number | bigint)[] | undefined;
  readonly strings?: readonly string[] | undefined;
  readonly blob?: Uint8Array | undefined;
}

const HEADER = Buffer.from([0x4d, 0x49, 0x50, 1]);

/** Throws RangeError when a string contains NUL: it would end there on the other side. */
export function encodePlan(records: readonly PlanRecord[]): Buffer {
  return Buffer.concat([HEADER, ...records.map(encodeRecord)]);
}

function encodeRecord(record: PlanRecord): Buffer {
  const numbers = Buffer.alloc((record.numbers?.length ?? 0) * 8);
  record.numbers?.forEach((value, i) => {
    numbers.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), i * 8);
  });
  const strings = (record.strings ?? []).map((text) => {
    if (text.includes('\0')) throw new RangeError(`NUL in ${JSON.stringify(text)}`);
    return Buffer.from(`${text}\0`);
  });
  const payload = Buffer.concat([numbers, ...strings, record.blob ?? Buffer.alloc(0)]);
  const header = Buffer.alloc(5);
  header.writeUInt8(record.tag, 0);
  header.writeUInt32LE(payload.length, 1);
  return Buffer.concat([header, payload]);
}
