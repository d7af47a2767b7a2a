/** An IPv4 block as numbers: `first` is the network address. */
export interface Block {
  readonly first: number;
  readonly bits: number;
}

/** `10.0.1.5` as a number; undefined when the text is no IPv4 address. */
export function parseAddress(text: string): number | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    const byte = Number(part);
    if (!/^\d{1,3}$/.test(part) || byte > 255) return undefined;
    value = value * 256 + byte;
  }
  return value;
}

export function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
}

/** `10.0.1.0/24`; host bits are cleared. Undefined when the text is no IPv4 block. */
export function parseBlock(text: string): Block | undefined {
  const [base = '', prefix = ''] = text.split('/');
  const address = parseAddress(base);
  const bits = Number(prefix);
  if (address === undefined || !/^\d{1,2}$/.test(prefix) || bits > 32) return undefined;
  return { first: address - (address % 2 ** (32 - bits)), bits };
}

export function formatBlock(block: Block): string {
  return `${formatAddress(block.first)}/${block.bits}`;
}

export function blockSize(block: Block): number {
  return 2 ** (32 - block.bits);
}

export function overlaps(left: Block, right: Block): boolean {
  const before = left.first + blockSize(left) <= right.first;
  const after = right.first + blockSize(right) <= left.first;
  return !before && !after;
}

/** The address of `10.0.1.5/24` or `10.0.1.5`. */
export function addressOf(text: string): number | undefined {
  return parseAddress(text.split('/', 1)[0] ?? '');
}
