import { decideAllocation } from '../../pkg/allocator/index.ts';
import type { Decider, ObjectKind } from '../../pkg/model/index.ts';
import {
  decideConstraints,
  decideNodes,
  decideReaping,
  decideServices,
  decideVolumes,
} from '../../pkg/orchestrator/index.ts';
import { decidePlacement, decideRebalance } from '../../pkg/scheduler/index.ts';

/** Everything a leader decides, in the order a task meets it. One pass over all of them is one entry of the log. */
export const LEADER_LOOPS: readonly Decider[] = [
  decideNodes,
  decideServices,
  decideAllocation,
  decidePlacement,
  decideRebalance,
  decideConstraints,
  decideVolumes,
  decideReaping,
];

/** Services name secrets and configs, tasks get them from the dispatcher; nobody decides anything because one changed. */
export const LEADER_IGNORES: ReadonlySet<ObjectKind> = new Set(['secret', 'config']);
