import { type ConfChange, decodeConfChange, type Entry } from 'raft-js';
import type { Version } from '../model/index.ts';
import { decodeCommand } from './command.ts';
import type { Applied, StateMachine } from './state-machine.ts';

/** Apply one committed entry; `configure` puts a change of the group in force. Undefined for entries without a command. */
export function applyEntry(
  machine: StateMachine,
  entry: Entry,
  configure: (change: ConfChange) => void,
): Applied | undefined {
  const index = entry.index as Version;
  if (entry.type !== 'EntryNormal') {
    const change = decodeConfChange(entry);
    return machine.applyMember(change, index, () => configure(change));
  }
  if (entry.data !== null && entry.data.length > 0) {
    return machine.apply(decodeCommand(entry.data), index, entry.term);
  }
  machine.advance(index);
  return undefined;
}
