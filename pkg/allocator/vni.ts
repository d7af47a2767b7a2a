/** VXLAN network identifiers are 24 bits (RFC 7348); low ones are left to people (SwarmKit starts at 4096 too). */
export const VNI_MIN = 4096;
const VNI_MAX = 2 ** 24 - 1;

/** The lowest free identifier; undefined when all are taken. */
export function allocateVni(taken: ReadonlySet<number>): number | undefined {
  for (let vni = VNI_MIN; vni <= VNI_MAX; vni++) if (!taken.has(vni)) return vni;
  return undefined;
}
