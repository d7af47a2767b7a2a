/*
 * Instructions of eBPF (RFC 9669) as far as our programs need them. Each is 8 bytes: operation, registers, offset, number.
 * Register 10 is where the stack ends; 1 to 5 carry parameters of calls, which spoil them; 0 carries results.
 */
const INSTRUCTION_BYTES = 8;
const LOAD = { u32: 0x61, u64: 0x79 } as const;
const STORE = { u32: 0x63, u64: 0x7b } as const;
const STORE_NUMBER = 0x62;
const COPY = 0xbf;
const SET = 0xb7;
const ADD_NUMBER = 0x07;
const ADD_NUMBER_32 = 0x04;
const REMAINDER_32 = 0x9c;
const AND_NUMBER = 0x57;
const ATOMIC_32 = 0xc3;
const FETCH_ADD = 1;
const LOAD_64 = 0x18;
/** The source register of `LOAD_64` when the number is a map's descriptor. */
const MAP_DESCRIPTOR = 1;
const CALL = 0x85;
const EXIT = 0x95;
const JUMP = { equal: 0x15, unequal: 0x55 } as const;

/** `enum bpf_func_id` */
const FUNCTION = { lookUp: 1, setsockopt: 49, namespaceCookie: 122 } as const;

/** A register holds 64 bits. */
type Register = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10;
type Width = keyof typeof LOAD;

/** An instruction, a place to jump to, or a jump to one. */
export type Step =
  | Buffer
  | { readonly label: string }
  | { readonly to: string; readonly jump: (distance: number) => Buffer };

export const load = (target: Register, from: Register, offset: number, width: Width): Step =>
  encode({ operation: LOAD[width], target, source: from, offset });

export const store = (to: Register, offset: number, source: Register, width: Width): Step =>
  encode({ operation: STORE[width], target: to, source, offset });

export const storeNumber = (to: Register, offset: number, number: number): Step =>
  encode({ operation: STORE_NUMBER, target: to, offset, number });

export const copy = (target: Register, source: Register): Step =>
  encode({ operation: COPY, target, source });

export const set = (target: Register, number: number): Step =>
  encode({ operation: SET, target, number });

export const and = (target: Register, number: number): Step =>
  encode({ operation: AND_NUMBER, target, number });

/** Of the lower 32 bits. */
export const add = (target: Register, number: number): Step =>
  encode({ operation: ADD_NUMBER_32, target, number });

/** Of the lower 32 bits; by zero leaves `target` as it is. */
export const remainder = (target: Register, by: Register): Step =>
  encode({ operation: REMAINDER_32, target, source: by });

/** Adds to a number in memory and leaves in `source` what was there; for everybody else that is one step. */
export const fetchAdd = (to: Register, offset: number, source: Register): Step =>
  encode({ operation: ATOMIC_32, target: to, source, offset, number: FETCH_ADD });

export const call = (name: keyof typeof FUNCTION): Step =>
  encode({ operation: CALL, number: FUNCTION[name] });

/** Ends the program; the kernel goes on with the socket when register 0 is 1. */
export const exit: Step = encode({ operation: EXIT });

export const label = (name: string): Step => ({ label: name });

export const jumpIf = (
  register: Register,
  relation: keyof typeof JUMP,
  number: number,
  to: string,
): Step => ({
  to,
  jump: (distance) =>
    encode({ operation: JUMP[relation], target: register, offset: distance, number }),
});

/** Where the stack's bytes from `offset` on are. */
export const stack = (target: Register, offset: number): readonly Step[] => [
  copy(target, 10),
  encode({ operation: ADD_NUMBER, target, number: offset }),
];

/** The value that the map has for the key on the stack, in register 0; on to `otherwise` when there is none. */
export const lookUp = (map: number, keyOffset: number, otherwise: string): readonly Step[] => [
  encode({ operation: LOAD_64, target: 1, source: MAP_DESCRIPTOR, number: map }),
  encode({ operation: 0 }),
  ...stack(2, keyOffset),
  call('lookUp'),
  jumpIf(0, 'equal', 0, otherwise),
];

/** The program in the kernel's form. Every label that is jumped to must be further on. */
export function assemble(steps: readonly Step[]): Buffer {
  const places = new Map<string, number>();
  let length = 0;
  for (const step of steps) {
    if (!(step instanceof Buffer) && 'label' in step) places.set(step.label, length);
    else length++;
  }
  const instructions: Buffer[] = [];
  for (const step of steps) {
    if (step instanceof Buffer) instructions.push(step);
    else if ('to' in step) {
      const place = places.get(step.to) ?? Number.NaN;
      instructions.push(step.jump(place - instructions.length - 1));
    }
  }
  return Buffer.concat(instructions);
}

function encode(instruction: {
  readonly operation: number;
  readonly target?: Register;
  readonly source?: Register;
  readonly offset?: number;
  readonly number?: number;
}): Buffer {
  const { operation, target = 0, source = 0, offset = 0, number = 0 } = instruction;
  const bytes = Buffer.alloc(INSTRUCTION_BYTES);
  bytes[0] = operation;
  bytes[1] = target | (source << 4);
  bytes.writeInt16LE(offset, 2);
  bytes.writeInt32LE(number, 4);
  return bytes;
}
