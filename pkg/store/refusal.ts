import { type Change, ClusterError, DraftTables, unreachable } from '../model/index.ts';
import type { OutcomeRefusal } from './request-table.ts';

/** What the author of a refused write is told, in the words Docker's clients know. */
export function refusalError(refusal: OutcomeRefusal): ClusterError {
  switch (refusal.reason) {
    case 'exists':
      return new ClusterError(
        'conflict',
        'rpc error: code = AlreadyExists desc = name conflicts with an existing object',
        { code: 'ERR_NAME_CONFLICT' },
      );
    case 'missing':
      return new ClusterError('not-found', `${refusal.kind} ${refusal.id} not found`);
    case 'stale':
      return outOfSequence();
    case 'skipped':
    case 'expired':
      return outOfSequence();
    case 'superseded':
      return supersededError();
    default:
      return unreachable(refusal);
  }
}

/** Who leads now decides anew. */
export function supersededError(): ClusterError {
  return new ClusterError('unavailable', 'nothing was written: another manager leads now', {
    code: 'ERR_SUPERSEDED',
  });
}

function outOfSequence(): ClusterError {
  const text = 'rpc error: code = Unknown desc = update out of sequence';
  return new ClusterError('conflict', text, {
    code: 'ERR_OUT_OF_SEQUENCE',
    retry: true,
    status: 500,
  });
}

/** A draft that does not take no for an answer. */
export class StrictDraft extends DraftTables {
  /** @throws ClusterError when the change does not fit */
  override add(change: Change): undefined {
    const refusal = super.add(change);
    if (refusal) throw refusalError(refusal);
    return undefined;
  }
}
