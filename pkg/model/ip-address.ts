export type IpFamily = 4 | 6;

export interface IpAddress {
  readonly family: IpFamily;
  readonly value: bigint;
}

/** Addresses that begin with the same `bits`; `first` is the lowest of them. */
export interface IpBlock {
  readonly family: IpFamily;
  readonly first: bigint;
  readonly bits: number;
}

const WIDTH = { 4: 32, 6: 128 } as const;
const GROUPS = 8;
const HEXADECIMAL = 16;
/** Characters. */
const [DOT, SLASH, ZERO, NINE] = [46, 47, 48, 57];

/** `10.0.1.5`, `fd00::5`, or either with `/` and more behind it; undefined when the text is no address. */
export function parseIpAddress(text: string): IpAddress | undefined {
  const number = parseIpv4(text);
  if (number !== undefined) return { family: 4, value: BigInt(number) };
  const [address = ''] = text.split('/', 1);
  const value = address.includes(':') ? parseIpv6(address) : undefined;
  return value === undefined ? undefined : { family: 6, value };
}

/** IPv6 as RFC 5952 wants it. */
export function formatIpAddress({ family, value }: IpAddress): string {
  return family === 4 ? formatIpv4(Number(value)) : formatIpv6(value);
}

/** `10.0.1.0/24`, `fd00::/64`; host bits are cleared. Undefined when the text is no block. */
export function parseIpBlock(text: string): IpBlock | undefined {
  const [base = '', prefix = '', ...rest] = text.split('/');
  const address = parseIpAddress(base);
  const bits = Number(prefix);
  if (!address || rest.length > 0 || !/^\d{1,3}$/.test(prefix)) return undefined;
  const { family, value } = address;
  if (bits > WIDTH[family]) return undefined;
  return { family, first: value - (value % ipBlockSize({ family, bits })), bits };
}

export function formatIpBlock({ family, first, bits }: IpBlock): string {
  return `${formatIpAddress({ family, value: first })}/${bits}`;
}

export function ipBlockSize({ family, bits }: Pick<IpBlock, 'family' | 'bits'>): bigint {
  return 1n << BigInt(WIDTH[family] - bits);
}

export function ipBlocksOverlap(left: IpBlock, right: IpBlock): boolean {
  if (left.family !== right.family) return false;
  const before = left.first + ipBlockSize(left) <= right.first;
  const after = right.first + ipBlockSize(right) <= left.first;
  return !before && !after;
}

export function isInIpBlock({ family, value }: IpAddress, block: IpBlock): boolean {
  return (
    family === block.family && value >= block.first && value < block.first + ipBlockSize(block)
  );
}

/**
 * `10.0.1.5`, or that with `/` and more behind it. Character by character: a leader reads those of all tasks of a network
 * whenever it gives an address of it.
 */
export function parseIpv4(text: string): number | undefined {
  let [value, byte, digits, dots] = [0, 0, 0, 0];
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === SLASH) break;
    if (code === DOT) {
      if (digits === 0) return undefined;
      value = value * 256 + byte;
      [byte, digits] = [0, 0];
      dots += 1;
    } else {
      byte = byte * 10 + code - ZERO;
      digits += 1;
      if (code < ZERO || code > NINE || digits > 3 || byte > 255) return undefined;
    }
  }
  return dots === 3 && digits > 0 ? value * 256 + byte : undefined;
}

function formatIpv4(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}

/** Without a dotted tail: such addresses stand for IPv4 ones, and no network is made of them. */
function parseIpv6(text: string): bigint | undefined {
  const halves = text.split('::').map((half) => (half === '' ? [] : half.split(':')));
  const [before = [], after] = halves;
  const given = before.length + (after?.length ?? 0);
  const fits = after === undefined ? given === GROUPS : given < GROUPS;
  if (halves.length > 2 || !fits) return undefined;
  const zeros = Array.from({ length: GROUPS - given }, () => '0');
  let value = 0n;
  for (const group of [...before, ...zeros, ...(after ?? [])]) {
    if (!/^[0-9a-f]{1,4}$/i.test(group)) return undefined;
    value = (value << 16n) | BigInt(Number.parseInt(group, HEXADECIMAL));
  }
  return value;
}

/** The longest run of zero groups, the first of equals, becomes `::`. */
function formatIpv6(value: bigint): string {
  const groups = Array.from({ length: GROUPS }, (_, at) =>
    Number((value >> BigInt(16 * (GROUPS - 1 - at))) & 0xffffn),
  );
  let [start, length] = [0, 1];
  for (let at = 0; at < GROUPS; at++) {
    let run = 0;
    while (groups[at + run] === 0) run++;
    if (run > length) [start, length] = [at, run];
  }
  const text = (some: readonly number[]): string =>
    some.map((group) => group.toString(HEXADECIMAL)).join(':');
  if (length < 2) return text(groups);
  return `${text(groups.slice(0, start))}::${text(groups.slice(start + length))}`;
}
