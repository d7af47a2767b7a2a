/** Writes tar: ustar headers with PAX records where ustar is too small. */
import type { TarHeader, TarType } from './tar.ts';

const BLOCK = 512;
const FLAGS: Readonly<Record<TarType, string>> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
  other: '0',
};
const OCTAL_7_MAX = 0o7777777;
const OCTAL_11_MAX = 0o77777777777;

export type TarMember = Pick<TarHeader, 'path' | 'type'> & Partial<TarHeader>;

/** The header block(s) of one member; the caller writes `size` bytes and `tarPadding(size)` after it. */
export function tarHeader(member: TarMember): Buffer {
  const records: Buffer[] = [];
  const path = member.path;
  const link = member.linkPath ?? '';
  const size = member.size ?? 0;
  const mtime = Math.max(0, member.mtime ?? 0);
  if (Buffer.byteLength(path) > 100) records.push(paxRecord('path', Buffer.from(path)));
  if (Buffer.byteLength(link) > 100) records.push(paxRecord('linkpath', Buffer.from(link)));
  if (size > OCTAL_11_MAX) records.push(paxRecord('size', Buffer.from(String(size))));
  if (!Number.isInteger(mtime)) records.push(paxRecord('mtime', Buffer.from(String(mtime))));
  for (const key of ['uid', 'gid'] as const) {
    const value = member[key] ?? 0;
    if (value > OCTAL_7_MAX) records.push(paxRecord(key, Buffer.from(String(value))));
  }
  for (const [name, value] of member.xattrs ?? [])
    records.push(paxRecord(`SCHILY.xattr.${name}`, value));
  const own = ustar(member, FLAGS[member.type], size);
  if (records.length === 0) return own;
  const body = Buffer.concat(records);
  const extension = ustar({ path: 'PaxHeaders/0', type: 'other', mode: 0o644 }, 'x', body.length);
  return Buffer.concat([extension, body, tarPadding(body.length), own]);
}

export function tarPadding(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}

/** Two zero blocks. */
export function tarEnd(): Buffer {
  return Buffer.alloc(2 * BLOCK);
}

/** A whole member with its content. */
export function tarMember(member: TarMember, content: Uint8Array = new Uint8Array()): Buffer {
  const header = tarHeader({ ...member, size: content.length });
  return Buffer.concat([header, content, tarPadding(content.length)]);
}

function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (length !== rest.length + String(length).length)
    length = rest.length + String(length).length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function ustar(member: TarMember, flag: string, size: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, offset: number, digits: number): void => {
    const text = Math.floor(value).toString(8).padStart(digits, '0').slice(-digits);
    block.write(text, offset, 'latin1');
  };
  block.write(member.path, 0, 100, 'utf8');
  octal(member.mode ?? (member.type === 'directory' ? 0o755 : 0o644), 100, 7);
  octal(Math.min(member.uid ?? 0, OCTAL_7_MAX), 108, 7);
  octal(Math.min(member.gid ?? 0, OCTAL_7_MAX), 116, 7);
  octal(Math.min(size, OCTAL_11_MAX), 124, 11);
  octal(Math.max(0, member.mtime ?? 0), 136, 11);
  block.write(flag, 156, 'latin1');
  block.write(member.linkPath ?? '', 157, 100, 'utf8');
  block.write('ustar\x0000', 257, 'latin1');
  octal(member.major ?? 0, 329, 7);
  octal(member.minor ?? 0, 337, 7);
  block.write('        ', 148, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}
