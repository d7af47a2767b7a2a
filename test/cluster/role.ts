import { call, request } from '../../deploy/lab/api.ts';
import type { Host } from '../../deploy/lab/host.ts';
import { eventually } from './cluster.ts';

interface NodeJson {
  readonly ID: string;
  readonly Version: { readonly Index: number };
  readonly Spec: { readonly Role: string };
  readonly Description: { readonly Hostname: string };
  readonly Status: { readonly State: string };
  readonly ManagerStatus?: { readonly Leader?: boolean; readonly Reachability: string };
}

export type Role = 'manager' | 'worker';

/** As `docker node promote` and `demote`, asked through `ask`; resolves when the node has the role and acts in it. */
export async function setRole(ask: Host, host: Host, role: Role): Promise<void> {
  await eventually(`${host.name} to be wanted as a ${role}`, async () => {
    const node = await nodeOf(ask, host);
    if (node.Spec.Role !== role) {
      const path = `/nodes/${node.ID}/update?version=${node.Version.Index}`;
      await call(ask.socket, 'POST', path, { ...node.Spec, Role: role });
    }
    return true;
  });
  await eventually(`${host.name} to be a ${role}`, async () => {
    const { ManagerStatus } = await nodeOf(ask, host);
    if (role === 'manager') {
      const { status } = await request(host.socket, 'GET', '/nodes');
      return ManagerStatus?.Reachability === 'reachable' && status === 200;
    }
    return ManagerStatus === undefined && host.managerPid === undefined;
  });
}

/** The host whose manager leads, asked of `ask`. */
export async function leadingHost(ask: Host, hosts: readonly Host[]): Promise<Host> {
  let found: Host | undefined;
  await eventually('a leader', async () => {
    const nodes = (await call(ask.socket, 'GET', '/nodes')) as readonly NodeJson[];
    const name = nodes.find((node) => node.ManagerStatus?.Leader)?.Description.Hostname;
    found = hosts.find((host) => host.name === name);
    return found !== undefined;
  });
  if (found === undefined) throw new Error('no leader');
  return found;
}

async function nodeOf(ask: Host, host: Host): Promise<NodeJson> {
  const nodes = (await call(ask.socket, 'GET', '/nodes')) as readonly NodeJson[];
  const found = nodes.find(
    (node) => node.Description.Hostname === host.name && node.Status.State !== 'down',
  );
  if (found === undefined) throw new Error(`no node ${host.name}`);
  return found;
}
