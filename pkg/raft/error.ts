const MESSAGES = {
  ErrProposalDropped:
    'the proposal was dropped: no leader, a leader that must not accept it, or too much uncommitted data',
  ErrStepLocalMsg: 'a message that only the node itself may create came from outside',
  ErrStepPeerNotFound: 'the sender of a response is not a member',
  ErrCompacted: 'the entry was compacted away',
  ErrUnavailable: 'the entry is not in the log yet',
  ErrSnapOutOfDate: 'a newer snapshot is already in place',
  ErrSnapshotTemporarilyUnavailable: 'no snapshot can be made right now; ask again later',
  ErrIndexRange: 'a term, index or id is not a safe integer',
  ErrConfChangeInvalid: 'the configuration change cannot be applied to the current configuration',
  ErrCorrupt: 'stored bytes do not decode',
  ErrConfig: 'the configuration of the node is invalid',
  ErrInvariant: 'an invariant of the algorithm is broken',
} as const;

export type RaftErrorCode = keyof typeof MESSAGES;

/** Every error this package throws. Decide on `code`, never on the message. */
export class RaftError extends Error {
  readonly code: RaftErrorCode;
  override readonly name = 'RaftError';

  constructor(code: RaftErrorCode, detail?: string) {
    super(detail === undefined ? MESSAGES[code] : detail);
    this.code = code;
  }
}

/** True for an error with this code, also when it comes from a foreign Storage. */
export function hasCode(error: unknown, code: RaftErrorCode): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

/** Stops the node when `condition` is false: going on would spread a state that cannot be. */
export function assert(condition: boolean, detail: string): asserts condition {
  if (!condition) throw new RaftError('ErrInvariant', detail);
}
