import koffi, { type KoffiFunc } from 'koffi';
import { SyscallError } from './syscall-error.ts';

const MSG_DONTWAIT = 0x40;
const EINTR = 4;
const EIO = 5;
const EAGAIN = 11;
const EINVAL = 22;

/*
 * The only door to C. koffi cannot return `ssize_t`/`size_t`, so those are int64_t; errno must be read directly after
 * the call. Buffers are passed as pointers without a copy.
 */
const library = koffi.load('libc.so.6');
koffi.struct('iovec', { base: 'uint8_t *', length: 'size_t' });
koffi.struct('msghdr', {
  name: 'uint8_t *',
  nameLength: 'uint32_t',
  parts: 'iovec *',
  partCount: 'size_t',
  control: 'uint8_t *',
  controlLength: 'size_t',
  flags: 'int',
});
/** `struct ifreq` of netdevice(7), with the member that ethtool's commands use. */
const interfaceRequest = koffi.struct({
  name: koffi.array('char', 16, 'String'),
  data: 'uint8_t *',
  rest: koffi.array('uint8_t', 16, 'Array'),
});
const calls = {
  socket: library.func('int socket(int, int, int)'),
  bind: library.func('int bind(int, const uint8_t *, int)'),
  connect: library.func('int connect(int, const uint8_t *, int)'),
  listen: library.func('int listen(int, int)'),
  sendto: library.func('int64_t sendto(int, const uint8_t *, size_t, int, const uint8_t *, int)'),
  recv: library.func('int64_t recv(int, _Out_ uint8_t *, size_t, int)'),
  recvmsg: library.func('int64_t recvmsg(int, _Inout_ msghdr *, int)'),
  setsockopt: library.func('int setsockopt(int, int, int, const uint8_t *, int)'),
  ioctl: library.func('int ioctl(int, ulong, _Inout_ uint8_t *)'),
  getsockopt: library.func('int getsockopt(int, int, int, _Out_ uint8_t *, _Inout_ int *)'),
  getsockname: library.func('int getsockname(int, _Out_ uint8_t *, _Inout_ int *)'),
  ioctlLink: library.func('ioctl', 'int', ['int', 'ulong', koffi.pointer(interfaceRequest)]),
  close: library.func('int close(int)'),
  open: library.func('int open(const char *, int, int)'),
  setns: library.func('int setns(int, int)'),
  unshare: library.func('int unshare(int)'),
  mount: library.func('int mount(const char *, const char *, const char *, ulong, const char *)'),
  umount2: library.func('int umount2(const char *, int)'),
} as const;

export type SyscallName = keyof typeof calls;

const membarrierCall = library.func('long syscall(long, int, uint, int)');

/** membarrier(2), which has no function of its own in every libc; on a thread of the pool. */
export async function membarrier(command: number): Promise<void> {
  const call = { x64: 324, arm64: 283 }[process.arch as string];
  const result = await onPool(membarrierCall, call ?? -1, command, 0, 0);
  if (result < 0) throw new SyscallError('membarrier', EINVAL, 'the kernel has none');
}

/** The members of `union bpf_attr` (uapi/linux/bpf.h) that a command of bpf(2) has, with the commands that have them. */
const bpfShapes = {
  createMap: koffi.struct({
    type: 'uint32_t',
    keyBytes: 'uint32_t',
    valueBytes: 'uint32_t',
    capacity: 'uint32_t',
    flags: 'uint32_t',
    innerMap: 'uint32_t',
    numaNode: 'uint32_t',
    name: koffi.array('char', 16, 'String'),
  }),
  element: koffi.struct({
    map: 'uint32_t',
    key: 'const uint8_t *',
    value: 'uint8_t *',
    flags: 'uint64_t',
  }),
  batch: koffi.struct({
    before: 'const uint8_t *',
    after: 'uint8_t *',
    keys: 'uint8_t *',
    values: 'uint8_t *',
    count: 'uint32_t',
    map: 'uint32_t',
    elementFlags: 'uint64_t',
    flags: 'uint64_t',
  }),
  loadProgram: koffi.struct({
    type: 'uint32_t',
    count: 'uint32_t',
    instructions: 'const uint8_t *',
    license: 'const char *',
    logLevel: 'uint32_t',
    logBytes: 'uint32_t',
    log: 'uint8_t *',
    kernelVersion: 'uint32_t',
    flags: 'uint32_t',
    name: koffi.array('char', 16, 'String'),
    link: 'uint32_t',
    attachType: 'uint32_t',
  }),
  attach: koffi.struct({
    target: 'uint32_t',
    program: 'uint32_t',
    attachType: 'uint32_t',
    flags: 'uint32_t',
  }),
  query: koffi.struct({
    target: 'uint32_t',
    attachType: 'uint32_t',
    flags: 'uint32_t',
    attachFlags: 'uint32_t',
    ids: 'uint8_t *',
    count: 'uint32_t',
  }),
  open: koffi.struct({ id: 'uint32_t', next: 'uint32_t', flags: 'uint32_t' }),
  information: koffi.struct({ fd: 'uint32_t', bytes: 'uint32_t', information: 'uint8_t *' }),
} as const;

export type BpfShape = keyof typeof bpfShapes;

const bpfCalls = Object.fromEntries(
  Object.entries(bpfShapes).map(([shape, type]) => {
    const attributes = koffi.inout(koffi.pointer(type));
    return [shape, library.func('syscall', 'long', ['long', 'int', attributes, 'uint32_t'])];
  }),
) as Readonly<Record<BpfShape, KoffiFunc<(...parameters: unknown[]) => number>>>;

/**
 * bpf(2). `attributes` are those of the shape; what the kernel writes there is there afterwards.
 * @returns errno as a negative number when it is refused, since some refusals are answers
 */
export function bpf(command: number, shape: BpfShape, attributes: object): number {
  const call = { x64: 321, arm64: 280 }[process.arch as string] ?? -1;
  const size = koffi.sizeof(bpfShapes[shape]);
  const result = Number(bpfCalls[shape](call, command, attributes, size));
  return result < 0 ? -koffi.errno() : result;
}

/** sendto(2) on a thread of the pool, for messages that the kernel works at for long. */
export async function sendOnPool(fd: number, bytes: Buffer): Promise<void> {
  const result = await onPool(calls.sendto, fd, bytes, bytes.length, 0, null, 0);
  if (result < 0) throw new SyscallError('sendto', EIO, 'the kernel did not take the message');
}

/** Its result; its errno stays on the thread that made the call. */
function onPool(
  call: KoffiFunc<(...parameters: unknown[]) => number>,
  ...parameters: readonly unknown[]
): Promise<number> {
  return new Promise((resolve, reject) => {
    call.async(...parameters, (error: unknown, value: number) => {
      if (error) reject(error);
      else resolve(Number(value));
    });
  });
}

/** The call's result; throws `SyscallError` when it is negative. */
export function syscall(name: SyscallName, ...parameters: readonly unknown[]): number {
  const result = Number(calls[name](...parameters));
  if (result < 0) throw new SyscallError(name, koffi.errno());
  return result;
}

/** recv(2). Undefined when there is nothing now, which is no error: to make one costs more than the call. */
export function receive(fd: number, buffer: Buffer, flags: number): number | undefined {
  const length = Number(calls.recv(fd, buffer, buffer.length, flags));
  if (length >= 0) return length;
  const errno = koffi.errno();
  if (errno === EAGAIN || errno === EINTR) return undefined;
  throw new SyscallError('recv', errno);
}

/** recv(2) that fills `control` with ancillary data too (cmsg(3)). Does not wait. */
export function receiveMessage(
  fd: number,
  buffer: Buffer,
  control: Buffer,
): { readonly length: number; readonly controlLength: number } {
  const header = {
    name: null,
    nameLength: 0,
    parts: [{ base: buffer, length: buffer.length }],
    partCount: 1,
    control,
    controlLength: control.length,
    flags: 0,
  };
  const length = syscall('recvmsg', fd, header, MSG_DONTWAIT);
  return { length, controlLength: Number(header.controlLength) };
}
