import type { Command } from 'commander';
import type { Context } from './context.ts';
import { type Column, type ListOptions, printJson, printList, shortId } from './output.ts';
import { filterTerms } from './service.ts';
import { collect, type Options, texts } from './service-create.ts';
import { toMap } from './service-flags.ts';

interface NetworkRow {
  readonly Id: string;
  readonly Name: string;
  readonly Driver: string;
  readonly Scope: string;
  readonly IPAM?: { readonly Config?: { Subnet?: string }[] | null };
}

const COLUMNS: readonly Column<NetworkRow>[] = [
  { title: 'NETWORK ID', cell: (row) => shortId(row.Id) },
  { title: 'NAME', cell: (row) => row.Name },
  { title: 'DRIVER', cell: (row) => row.Driver },
  { title: 'SCOPE', cell: (row) => row.Scope },
  {
    title: 'SUBNET',
    cell: (row) => (row.IPAM?.Config ?? []).map((config) => config.Subnet ?? '').join(', '),
  },
];

/** `ctl network …` */
export function addNetwork(program: Command, context: () => Context): void {
  const network = program.command('network').description('Networks that services join');
  network
    .command('create <name>')
    .description('Create an overlay network across all nodes')
    .option('-d, --driver <driver>', 'overlay, or bridge for this host only', 'overlay')
    .option('--subnet <cidr>', 'subnet, chosen when absent', collect)
    .option('--gateway <address>', 'gateway of the subnet', collect)
    .option('--ip-range <cidr>', 'part of the subnet that addresses are taken from', collect)
    .option('--ipv6', 'give IPv6 addresses too, from --subnet or a unique local prefix')
    .option('--attachable', 'let standalone containers join')
    .option('--internal', 'no way out of the network')
    .option('--label <key=value>', 'label', collect)
    .option('-o, --opt <key=value>', 'driver option', collect)
    .action(async (name: string, options: Options) => {
      const { client, output } = context();
      const created = await client.post<{ Id: string; Warning?: string }>(
        '/networks/create',
        body(name, options),
      );
      if (created.Warning) output.error(`warning: ${created.Warning}`);
      output.line(created.Id);
    });
  network
    .command('ls')
    .alias('list')
    .description('List networks')
    .option('-f, --filter <key=value>', 'name, id, driver, scope or label', collect)
    .option('--format <format>', 'json: one object a line')
    .option('-q, --quiet', 'ids only')
    .action(async (options: ListOptions & Options) => {
      const { client, output } = context();
      printList(
        output,
        await client.get<NetworkRow[]>('/networks', { filters: filterTerms(options) }),
        COLUMNS,
        options,
      );
    });
  network
    .command('inspect <network...>')
    .description('Show everything known of networks')
    .option('-v, --verbose', 'with services and tasks')
    .action(async (names: string[], options: Options) => {
      const { client, output } = context();
      const verbose = options['verbose'] === true;
      const ask = (name: string): Promise<unknown> =>
        client.get(`/networks/${encodeURIComponent(name)}`, { verbose });
      printJson(output, await Promise.all(names.map(ask)));
    });
  network
    .command('check [network...]')
    .description(
      'Ask every VIP and every endpoint from every node that takes part; all networks when none is named',
    )
    .option('--format <format>', 'json: everything that was asked and answered')
    .addHelpText(
      'after',
      '\nEnds with 1 when something is not reached, a node does not answer or holds an older table. Repairs nothing:\nthe audit does, within 10 seconds; REPAIRS counts its rounds that found something since the agent started.',
    )
    .action(async (names: string[], options: Options) => {
      const { checkNetworks } = await import('./network-check.ts');
      const format = options['format'];
      await checkNetworks(context(), names, typeof format === 'string' ? format : undefined);
    });
  network
    .command('rm <network...>')
    .description('Remove networks')
    .action(async (names: string[]) => {
      const { client, output } = context();
      for (const name of names) {
        await client.delete(`/networks/${encodeURIComponent(name)}`);
        output.line(name);
      }
    });
}

function body(name: string, options: Options): object {
  const gateways = texts(options, 'gateway');
  const ranges = texts(options, 'ipRange');
  const config = texts(options, 'subnet').map((subnet, at) => ({
    Subnet: subnet,
    ...(gateways[at] === undefined ? {} : { Gateway: gateways[at] }),
    ...(ranges[at] === undefined ? {} : { IPRange: ranges[at] }),
  }));
  return {
    Name: name,
    Driver: options['driver'],
    Attachable: options['attachable'] === true,
    Internal: options['internal'] === true,
    ...(options['ipv6'] === true && { EnableIPv6: true }),
    Options: toMap(texts(options, 'opt')),
    Labels: toMap(texts(options, 'label')),
    ...(config.length > 0 ? { IPAM: { Driver: 'default', Config: config } } : {}),
  };
}
