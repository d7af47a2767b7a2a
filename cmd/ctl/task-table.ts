import { type Client, filters } from './client.ts';
import { ago, type Column, type ListOptions, type Output, printList, shortId } from './output.ts';

export interface TaskObject {
  readonly ID: string;
  readonly ServiceID: string;
  readonly Slot?: number;
  readonly NodeID?: string;
  readonly CreatedAt: string;
  readonly Spec: { readonly ContainerSpec?: { readonly Image?: string } };
  readonly DesiredState: string;
  readonly Status: {
    readonly State: string;
    readonly Timestamp: string;
    readonly Err?: string;
    readonly PortStatus?: {
      readonly Ports?: { PublishedPort: number; TargetPort: number; Protocol: string }[];
    };
  };
}

interface Row {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  readonly node: string;
  readonly desired: string;
  readonly current: string;
  readonly error: string;
  readonly ports: string;
}

export interface TaskListOptions extends ListOptions {
  readonly noTrunc?: boolean | undefined;
}

/** Tasks as `service ps`, `stack ps` and `node ps` print them, newest of a slot first. */
export async function printTasks(
  client: Client,
  output: Output,
  terms: Readonly<Record<string, readonly string[]>>,
  options: TaskListOptions,
): Promise<void> {
  const tasks = await client.get<TaskObject[]>('/tasks', { filters: filters(terms) });
  const services = await namesOf(client, '/services');
  const nodes = await client.get<{ ID: string; Description: { Hostname: string } }[]>('/nodes');
  const hostnames = new Map(nodes.map((node) => [node.ID, node.Description.Hostname]));
  const rows = tasks
    .map((task) => ({ task, slot: slotOf(task, services) }))
    .toSorted(
      (left, right) =>
        order(left.slot, right.slot) || order(right.task.CreatedAt, left.task.CreatedAt),
    )
    .map(({ task, slot }, at, all) =>
      rowOf(
        task,
        all[at - 1]?.slot === slot ? ` \\_ ${slot}` : slot,
        hostnames,
        options.noTrunc === true,
      ),
    );
  printList(output, rows, COLUMNS, options);
}

const COLUMNS: readonly Column<Row>[] = [
  { title: 'ID', cell: (row) => row.id },
  { title: 'NAME', cell: (row) => row.name },
  { title: 'IMAGE', cell: (row) => row.image },
  { title: 'NODE', cell: (row) => row.node },
  { title: 'DESIRED STATE', cell: (row) => row.desired },
  { title: 'CURRENT STATE', cell: (row) => row.current },
  { title: 'ERROR', cell: (row) => row.error },
  { title: 'PORTS', cell: (row) => row.ports },
];

async function namesOf(client: Client, path: string): Promise<Map<string, string>> {
  const objects = await client.get<{ ID: string; Spec: { Name: string } }[]>(path);
  return new Map(objects.map((object) => [object.ID, object.Spec.Name]));
}

function slotOf(task: TaskObject, services: ReadonlyMap<string, string>): string {
  return `${services.get(task.ServiceID) ?? task.ServiceID}.${task.Slot || task.NodeID || 0}`;
}

function rowOf(
  task: TaskObject,
  name: string,
  hostnames: ReadonlyMap<string, string>,
  whole: boolean,
): Row {
  const error = task.Status.Err ?? '';
  const ports = task.Status.PortStatus?.Ports ?? [];
  return {
    id: whole ? task.ID : shortId(task.ID),
    name,
    image: task.Spec.ContainerSpec?.Image?.replace(/@sha256:.*/, '') ?? '',
    node: hostnames.get(task.NodeID ?? '') ?? task.NodeID ?? '',
    desired: capital(task.DesiredState),
    current: `${capital(task.Status.State)} ${ago(task.Status.Timestamp).toLowerCase()}`,
    error: error === '' ? '' : `"${whole || error.length < 90 ? error : `${error.slice(0, 89)}…`}"`,
    ports: ports
      .map((port) => `*:${port.PublishedPort}->${port.TargetPort}/${port.Protocol}`)
      .join(','),
  };
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function order(left: string, right: string): number {
  if (left === right) return 0;
  const [leftName, leftSlot] = splitSlot(left);
  const [rightName, rightSlot] = splitSlot(right);
  if (leftName !== rightName || Number.isNaN(leftSlot - rightSlot)) return left < right ? -1 : 1;
  return leftSlot - rightSlot;
}

function splitSlot(text: string): readonly [string, number] {
  const at = text.lastIndexOf('.');
  return [text.slice(0, at), Number(text.slice(at + 1))];
}
