/** The placeholders that Swarm allows in hostname, environment and mounts (docs.docker.com, service create, "Create services using templates"). Pure. */
import { ClusterError } from '../model/index.ts';

export interface TemplateFacts {
  readonly serviceId: string;
  readonly serviceName: string;
  readonly serviceLabels: Readonly<Record<string, string>>;
  readonly nodeId: string;
  readonly nodeHostname: string;
  readonly taskId: string;
  readonly taskName: string;
  readonly slot: number;
}

const PLACEHOLDER = /\{\{-?\s*(.*?)\s*-?\}\}/g;
const LABEL = /^index\s+\.Service\.Labels\s+"([^"]*)"$/;

/** @throws ClusterError `invalid` for a placeholder that does not exist */
export function expandTemplate(text: string, facts: TemplateFacts): string {
  if (!text.includes('{{')) return text;
  const values = new Map<string, string>([
    ['.Service.ID', facts.serviceId],
    ['.Service.Name', facts.serviceName],
    ['.Node.ID', facts.nodeId],
    ['.Node.Hostname', facts.nodeHostname],
    ['.Node.Platform.OS', 'linux'],
    ['.Node.Platform.Architecture', process.arch === 'x64' ? 'x86_64' : process.arch],
    ['.Task.ID', facts.taskId],
    ['.Task.Name', facts.taskName],
    ['.Task.Slot', facts.slot === 0 ? facts.nodeId : String(facts.slot)],
  ]);
  return text.replace(PLACEHOLDER, (whole, inner: string) => {
    const label = LABEL.exec(inner)?.[1] ?? /^\.Service\.Labels\.(\S+)$/.exec(inner)?.[1];
    if (label !== undefined) return facts.serviceLabels[label] ?? '';
    const value = values.get(inner);
    if (value !== undefined) return value;
    throw new ClusterError('invalid', `expanding ${whole} failed: no such field`);
  });
}
