import type { ServiceSpec } from '../../pkg/model/index.ts';
import { STACK_LABEL, type Stack } from '../../pkg/stack/index.ts';
import { ApiError, filters } from './client.ts';
import type { Context } from './context.ts';
import { Failure } from './failure.ts';
import { waitConverged } from './progress.ts';
import type { Options } from './service-create.ts';
import { container, type SpecDraft } from './service-flags.ts';

interface Existing {
  readonly ID: string;
  readonly Version: { readonly Index: number };
  readonly Spec: { readonly Name: string };
}

interface NodeState {
  readonly ID: string;
  readonly Description: { readonly Hostname: string };
  readonly Status: { readonly State: string };
}

/** Networks, secrets and configs first, then services: each is created, or updated when it exists. */
export async function deployStack(
  context: Context,
  name: string,
  stack: Stack,
  options: Options,
): Promise<void> {
  const { client, output } = context;
  await checkExternals(context, stack);
  const label = filters({ label: [`${STACK_LABEL}=${name}`] });
  if (options['prune']) await prune(context, stack, label);
  await createNetworks(context, stack, label);
  await putFileObjects(context, 'secret', stack.secrets);
  await putFileObjects(context, 'config', stack.configs);
  const existing = await client.get<Existing[]>('/services', { filters: label });
  const ids: string[] = [];
  for (const spec of stack.services) {
    const found = existing.find((service) => service.Spec.Name === spec.Name);
    ids.push(await putService(context, spec, found));
  }
  if (options['detach']) return;
  for (const id of ids)
    await waitConverged(client, id, { output, quiet: options['quiet'] === true });
}

/** Services first, then what they used; the daemon lets used objects go when the last task has stopped. */
export async function removeStack(context: Context, name: string, detach: boolean): Promise<void> {
  const { client, output } = context;
  const label = filters({ label: [`${STACK_LABEL}=${name}`] });
  const services = await client.get<Existing[]>('/services', { filters: label });
  const secrets = await client.get<Existing[]>('/secrets', { filters: label });
  const configs = await client.get<Existing[]>('/configs', { filters: label });
  const networks = await client.get<{ Id: string; Name: string }[]>('/networks', {
    filters: label,
  });
  if (services.length + secrets.length + configs.length + networks.length === 0) {
    throw new Failure(`nothing found in stack: ${name}`);
  }
  for (const [kind, objects] of [
    ['service', services],
    ['secret', secrets],
    ['config', configs],
  ] as const) {
    for (const object of objects) {
      output.line(`Removing ${kind} ${object.Spec.Name}`);
      await client.delete(`/${kind}s/${object.ID}`);
    }
  }
  for (const network of networks) {
    output.line(`Removing network ${network.Name}`);
    await client.delete(`/networks/${network.Id}`);
  }
  if (!detach) await waitGone(context, label);
}

/** Until all of it has stopped. A node that is down stops its part when it is heard again: said, not waited for. */
async function waitGone({ client, output }: Context, label: string): Promise<void> {
  for (;;) {
    const tasks = await client.get<{ readonly NodeID?: string }[]>('/tasks', { filters: label });
    if (tasks.length === 0) return;
    const down = (await client.get<NodeState[]>('/nodes')).filter(
      ({ ID, Status }) => Status.State === 'down' && tasks.some(({ NodeID }) => NodeID === ID),
    );
    if (tasks.every(({ NodeID }) => down.some(({ ID }) => ID === NodeID))) {
      for (const { Description } of down) {
        output.line(`Node ${Description.Hostname} is down and stops its tasks when it is back`);
      }
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function checkExternals({ client }: Context, stack: Stack): Promise<void> {
  for (const { kind, name } of stack.externals) {
    const path = `/${kind}s/${encodeURIComponent(name)}`;
    const found = await orAbsent(client.get<{ Scope?: string }>(path));
    if (!found) {
      throw new Failure(
        `${kind} "${name}" is declared as external, but could not be found; create it first: ctl ${kind} create ${name}`,
      );
    }
    const local = name === 'host' || name === 'none' || name === 'bridge';
    if (kind === 'network' && found.Scope !== 'swarm' && !local) {
      throw new Failure(
        `network "${name}" is declared as external, but it is not in the right scope: "${found.Scope}" instead of "swarm"`,
      );
    }
  }
}

async function prune({ client, output }: Context, stack: Stack, label: string): Promise<void> {
  const wanted = new Set(stack.services.map((spec) => spec.Name));
  for (const service of await client.get<Existing[]>('/services', { filters: label })) {
    if (wanted.has(service.Spec.Name)) continue;
    output.line(`Removing service ${service.Spec.Name}`);
    await client.delete(`/services/${service.ID}`);
  }
}

async function createNetworks(
  { client, output }: Context,
  stack: Stack,
  label: string,
): Promise<void> {
  const existing = await client.get<{ Name: string }[]>('/networks', { filters: label });
  const names = new Set(existing.map((network) => network.Name));
  for (const spec of stack.networks.filter(({ Name }) => !names.has(Name))) {
    output.line(`Creating network ${spec.Name}`);
    await client.post('/networks/create', spec);
  }
}

async function putFileObjects(
  { client, output }: Context,
  kind: 'secret' | 'config',
  specs: Stack['secrets'],
): Promise<void> {
  for (const spec of specs) {
    const found = await orAbsent(
      client.get<Existing>(`/${kind}s/${encodeURIComponent(spec.Name)}`),
    );
    if (found) {
      await client.post(`/${kind}s/${found.ID}/update`, spec, { version: found.Version.Index });
    } else {
      output.line(`Creating ${kind} ${spec.Name}`);
      await client.post(`/${kind}s/create`, spec);
    }
  }
}

async function putService(
  context: Context,
  spec: ServiceSpec,
  found: Existing | undefined,
): Promise<string> {
  const { client, output } = context;
  const draft = structuredClone(spec) as SpecDraft;
  await fillIds(context, draft);
  if (!found) {
    output.line(`Creating service ${spec.Name}`);
    return (await client.post<{ ID: string }>('/services/create', draft)).ID;
  }
  output.line(`Updating service ${spec.Name} (id: ${found.ID})`);
  await client.post(`/services/${found.ID}/update`, draft, { version: found.Version.Index });
  return found.ID;
}

/** The spec names secrets and configs; the API wants their ids too. */
async function fillIds({ client }: Context, spec: SpecDraft): Promise<void> {
  const part = container(spec);
  for (const reference of part.Secrets ?? []) {
    reference.SecretID = (
      await client.get<Existing>(`/secrets/${encodeURIComponent(reference.SecretName)}`)
    ).ID;
  }
  for (const reference of part.Configs ?? []) {
    reference.ConfigID = (
      await client.get<Existing>(`/configs/${encodeURIComponent(reference.ConfigName)}`)
    ).ID;
  }
}

async function orAbsent<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}
