import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '../../deploy/lab/host.ts';
import type { TestCluster } from './cluster.ts';
import { heldBy, memoryOf } from './network-cycles.ts';

/** Of each host and thing that is counted: the medians of the first and of the last third of the looks, `3 → 4`. */
export type Growth = Readonly<Record<string, string>>;

/** What hosts hold at moments that are alike, to see what grows. */
export class HeldOverTime {
  readonly #cluster: TestCluster;
  readonly #looks: Readonly<Record<string, number>>[] = [];

  constructor(cluster: TestCluster) {
    this.#cluster = cluster;
  }

  look(): void {
    const memory = Object.entries(memoryOf(this.#cluster));
    const counts = Object.entries(heldBy(this.#cluster)).flatMap(([host, held]) =>
      Object.entries(held).map(([what, count]) => [`${host} ${what}`, count] as const),
    );
    const tracked = this.#cluster.lab.hosts.flatMap((host) => [
      [`${host.name} tracked connections`, trackedIn(`/run/netns/${host.netns}`)] as const,
      [`${host.name} tracked connections of containers`, trackedInContainers(host)] as const,
    ]);
    const named = memory.map(([what, mib]) => [`${what} MiB`, mib] as const);
    this.#looks.push(Object.fromEntries([...named, ...counts, ...tracked]));
  }

  /** Only what differs; nothing after fewer than three looks. */
  growth(): Growth {
    const third = Math.floor(this.#looks.length / 3);
    if (third === 0) return {};
    const [first, last] = [this.#looks.slice(0, third), this.#looks.slice(-third)];
    const names = Object.keys(this.#looks.at(-1) ?? {});
    const pairs = names.map((name): readonly [string, readonly [number, number]] => {
      const middle = (looks: typeof first): number => {
        const sorted = looks.map((look) => look[name] ?? 0).toSorted((a, b) => a - b);
        return sorted[Math.floor(sorted.length / 2)] ?? 0;
      };
      return [name, [middle(first), middle(last)]];
    });
    const moved = pairs.filter(([, [before, after]]) => before !== after);
    return Object.fromEntries(moved.map(([name, both]) => [name, both.join(' → ')]));
  }
}

function trackedInContainers({ runDir }: Host): number {
  const folder = join(runDir, 'network', 'sandboxes');
  return readdirSync(folder)
    .filter((file) => file.endsWith('.json'))
    .map((file) => {
      const text = readFileSync(join(folder, file), 'utf8');
      const { spec } = JSON.parse(text) as { readonly spec: { readonly netns: string } };
      return trackedIn(spec.netns);
    })
    .reduce((sum, count) => sum + count, 0);
}

/** Nothing in a namespace that is gone. */
function trackedIn(netns: string): number {
  const words = [`--net=${netns}`, 'cat', '/proc/sys/net/netfilter/nf_conntrack_count'];
  try {
    return Number(execFileSync('nsenter', words, { encoding: 'utf8', stdio: 'pipe' }));
  } catch {
    return 0;
  }
}
