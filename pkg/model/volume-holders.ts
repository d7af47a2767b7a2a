import type { VolumeId } from './id.ts';
import { isTerminal, type Task } from './task.ts';
import type { View } from './view.ts';

/** Tasks that may be using the volume: placed and not known to be over. */
export function volumeHolders(view: View, id: VolumeId): readonly Task[] {
  return [...view.tasksOfVolume(id)].filter(
    ({ nodeId, status }) => nodeId !== undefined && !isTerminal(status.state),
  );
}
