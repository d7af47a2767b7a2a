import { RuntimeError } from './runtime.ts';

/** Capabilities by number (linux/capability.h). */
const NAMES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
] as const;

/** Docker's default set (docs.docker.com/engine/containers/run, "Runtime privilege and Linux capabilities"). */
const DOCKER_DEFAULT: ReadonlySet<string> = new Set([
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_MKNOD',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
]);

const ALL: ReadonlySet<string> = new Set(NAMES);

function canonical(name: string): string {
  const upper = name.toUpperCase();
  const full = upper === 'ALL' || upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
  if (full !== 'ALL' && !ALL.has(full)) {
    throw new RuntimeError('invalid', `invalid capability: "${name}"`);
  }
  return full;
}

/** Docker's rule: `ALL` in add gives everything but what is dropped; `ALL` in drop leaves only what is added. */
export function resolveCapabilities(options: {
  readonly add?: readonly string[] | undefined;
  readonly drop?: readonly string[] | undefined;
  readonly privileged?: boolean | undefined;
}): ReadonlySet<string> {
  if (options.privileged) return ALL;
  const add = new Set((options.add ?? []).map(canonical));
  const drop = new Set((options.drop ?? []).map(canonical));
  const base = add.has('ALL') ? ALL : drop.has('ALL') ? [] : DOCKER_DEFAULT;
  const result = new Set([...base].filter((cap) => !drop.has(cap)));
  for (const cap of add) if (cap !== 'ALL') result.add(cap);
  return result;
}

/** The set as the kernel's bit mask. */
export function capabilityMask(caps: ReadonlySet<string>): bigint {
  return NAMES.reduce(
    (mask, name, bit) => (caps.has(name) ? mask | (1n << BigInt(bit)) : mask),
    0n,
  );
}
