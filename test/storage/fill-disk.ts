import { closeSync, openSync, writeSync } from 'node:fs';

/** Takes what room the disk of `file` has left, to the last byte; removing the file gives it back. */
export function fillDisk(file: string): void {
  const fd = openSync(file, 'a');
  try {
    for (let bytes = 1 << 20; bytes >= 1; ) {
      try {
        writeSync(fd, Buffer.alloc(bytes));
      } catch {
        bytes >>= 1;
      }
    }
  } finally {
    closeSync(fd);
  }
}
