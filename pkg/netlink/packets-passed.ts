import { membarrier } from './libc.ts';

/** uapi/linux/membarrier.h; waits for an RCU grace period. */
const MEMBARRIER_GLOBAL = 1;

/**
 * Resolves when no packet is under way in the kernel's packet hooks, on any processor, that met rules and sets as they
 * were at the call. Hooks run within RCU read sections, so one grace period is what it takes: about 10 ms.
 * @throws SyscallError where the kernel has no such call
 */
export async function packetsPassed(): Promise<void> {
  await membarrier(MEMBARRIER_GLOBAL);
}
