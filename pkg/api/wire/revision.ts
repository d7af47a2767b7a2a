import { REVISIONS_MAX, type Service, type View } from '../../model/index.ts';
import type { DockerJson } from '../engine.ts';
import { timeText } from './time.ts';

/** The kept specs of a service, newest first. Not in Docker's API. */
export function renderRevisions(view: View, service: Service): readonly DockerJson[] {
  const running = new Map<number, number>();
  for (const { specVersion, status } of view.tasksOfService(service.id)) {
    if (status.state === 'running') running.set(specVersion, (running.get(specVersion) ?? 0) + 1);
  }
  const versions = Array.from({ length: REVISIONS_MAX }, (_, back) => service.specVersion - back);
  return versions.flatMap((version): readonly DockerJson[] => {
    const revision = view.revision(service.id, version);
    if (!revision) return [];
    return [
      {
        Revision: version,
        CreatedAt: timeText(revision.createdAt),
        Current: version === service.specVersion,
        RunningTasks: running.get(version) ?? 0,
        Spec: revision.spec,
      },
    ];
  });
}
