import koffi from 'koffi';
import { SyscallError } from './syscall-error.ts';

/*
 * The only door to C. koffi cannot return `ssize_t`/`size_t`, so those are int64_t; errno must be read directly after
 * the call. Buffers are passed as pointers without a copy.
 */
const library = koffi.load('libc.so.6');
const calls = {
  socket: library.func('int socket(int, int, int)'),
  bind: library.func('int bind(int, const uint8_t *, int)'),
  connect: library.func('int connect(int, const uint8_t *, int)'),
  listen: library.func('int listen(int, int)'),
  sendto: library.func('int64_t sendto(int, const uint8_t *, size_t, int, const uint8_t *, int)'),
  recv: library.func('int64_t recv(int, _Out_ uint8_t *, size_t, int)'),
  setsockopt: library.func('int setsockopt(int, int, int, const uint8_t *, int)'),
  getsockname: library.func('int getsockname(int, _Out_ uint8_t *, _Inout_ int *)'),
  close: library.func('int close(int)'),
  open: library.func('int open(const char *, int, int)'),
  setns: library.func('int setns(int, int)'),
  unshare: library.func('int unshare(int)'),
  mount: library.func('int mount(const char *, const char *, const char *, ulong, const char *)'),
  umount2: library.func('int umount2(const char *, int)'),
} as const;

export type SyscallName = keyof typeof calls;

/** The call's result; throws `SyscallError` when it is negative. */
export function syscall(name: SyscallName, ...parameters: readonly unknown[]): number {
  const result = Number(calls[name](...parameters));
  if (result < 0) throw new SyscallError(name, koffi.errno());
  return result;
}
