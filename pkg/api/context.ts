import type { Logger, Random } from '../io/index.ts';
import type { Change, DraftTables, View } from '../model/index.ts';
import type { ClusterApi } from './cluster-api.ts';
import type { Engine } from './engine.ts';
import { refusalError } from './failure.ts';
import type { ManagerClient } from './forward.ts';
import type { NodeControl } from './node-control.ts';

/** What the cluster routes of a manager work with. */
export interface ClusterContext {
  readonly cluster: ClusterApi;
  readonly random: Random;
  readonly log: Logger;
}

/** What the routes of a host work with. */
export interface AgentContext {
  readonly engine: Engine;
  readonly node: NodeControl;
  readonly manager: ManagerClient;
  readonly log: Logger;
  readonly random: Random;
  readonly version: string;
}

/** The view with everything acknowledged before now. */
export function freshView({ cluster }: ClusterContext): Promise<View> {
  return cluster.store.barrier();
}

/** The same, standing still until it is disposed of: for answers that take many turns. */
export async function freshMoment({ cluster }: ClusterContext): Promise<View & Disposable> {
  await cluster.store.barrier();
  return cluster.store.moment();
}

/** One transaction that sees everything acknowledged before it; `work` may run again and must not remember anything. */
export async function transact<T>(
  { cluster }: ClusterContext,
  work: (draft: DraftTables) => T,
): Promise<T> {
  const { value } = await cluster.store.update(work, { linearizable: true });
  return value;
}

/** Throws what the client shall read when a change does not fit. */
export function addChanges(draft: DraftTables, changes: readonly Change[]): void {
  for (const change of changes) {
    const refusal = draft.add(change);
    if (refusal) throw refusalError(refusal);
  }
}
