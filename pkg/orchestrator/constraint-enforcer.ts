import {
  type Change,
  compareTaskState,
  type DeciderInput,
  type Decision,
  isRunnable,
  nodeSatisfies,
  onlyConstraintsChanged,
  type ServiceSpec,
  type Task,
  updateObject,
  type View,
} from '../model/index.ts';

/**
 * A node whose labels, role or address changed no longer keeps tasks that were placed there under other conditions.
 * They are stopped; the next pass replaces them where the conditions hold.
 */
export function decideConstraints({ view, dirty }: DeciderInput): Decision {
  const changes: Change[] = [];
  for (const id of dirty.nodes) {
    const node = view.get('node', id);
    // A node that has not described itself yet may satisfy everything.
    if (!node?.description) continue;
    for (const task of view.tasksOfNode(id)) {
      if (!isPlaced(task) || nodeSatisfies(node, constraintsOf(view, task))) continue;
      const status = { ...task.status, error: 'assigned node no longer meets constraints' };
      changes.push(updateObject('task', { ...task, desiredState: 'shutdown', status }));
    }
  }
  return { changes };
}

function isPlaced(task: Task): boolean {
  return isRunnable(task) && compareTaskState(task.status.state, 'assigned') >= 0;
}

/** The service's present constraints where they are all that changed since the task was made, else the task's own. */
function constraintsOf(view: View, task: Task): readonly string[] {
  const own = view.revision(task.serviceId, task.specVersion)?.spec;
  const present = view.get('service', task.serviceId)?.spec;
  const spec: ServiceSpec | undefined =
    own && present && onlyConstraintsChanged(own, present) ? present : own;
  return spec?.TaskTemplate?.Placement?.Constraints ?? [];
}
