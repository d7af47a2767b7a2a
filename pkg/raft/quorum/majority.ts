import type { Index, NodeId } from '../message.ts';

export type VoteResult = 'VotePending' | 'VoteLost' | 'VoteWon';

/** The index a voter has acknowledged; undefined when nothing is known about it. */
export type AckedIndex = (voter: NodeId) => Index | undefined;

/** The highest index that a majority of `voters` has acknowledged. Infinity when there are no voters. */
export function majorityCommitted(voters: readonly NodeId[], acked: AckedIndex): Index {
  const count = voters.length;
  if (count === 0) return Number.POSITIVE_INFINITY;
  const sorted: Index[] = [];
  for (const voter of voters) insert(sorted, acked(voter) ?? 0);
  return sorted[count - majority(count)] ?? 0;
}

/** How an election among `voters` stands. Won when there are no voters. */
export function majorityVote(
  voters: readonly NodeId[],
  votes: ReadonlyMap<NodeId, boolean>,
): VoteResult {
  if (voters.length === 0) return 'VoteWon';
  let granted = 0;
  let missing = 0;
  for (const voter of voters) {
    const vote = votes.get(voter);
    if (vote === undefined) missing++;
    else if (vote) granted++;
  }
  const needed = majority(voters.length);
  if (granted >= needed) return 'VoteWon';
  return granted + missing >= needed ? 'VotePending' : 'VoteLost';
}

function majority(count: number): number {
  return Math.floor(count / 2) + 1;
}

/** Keeps a short list ascending; groups have few members, so this beats a general sort. */
function insert(sorted: Index[], value: Index): void {
  let at = sorted.length;
  sorted.push(value);
  for (; at > 0 && (sorted[at - 1] as Index) > value; at--) sorted[at] = sorted[at - 1] as Index;
  sorted[at] = value;
}
