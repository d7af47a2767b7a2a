import { type OptionValues, parseOptions, renderOptions } from '../../pkg/io/index.ts';

const OPTIONS = [
  {
    name: 'data-dir',
    fallback: '/var/lib/muster',
    text: 'folder of this node; the log lies below it in manager/',
  },
  { name: 'run-dir', fallback: '/run/muster', text: 'folder for manager.sock and manager.pid' },
  { name: 'log-level', fallback: 'info', text: 'debug, info, warn or error' },
  {
    name: 'heartbeat-period',
    fallback: '1000',
    text: "milliseconds between an agent's heartbeats",
  },
  {
    name: 'node-down-after',
    fallback: '3000',
    text: 'milliseconds of silence after which a node counts as down',
  },
] as const;

export type ManagerConfig = OptionValues<typeof OPTIONS>;

export function managerConfig(args: readonly string[]): ManagerConfig {
  return parseOptions(OPTIONS, args, process.env);
}

export const HELP = `muster manager: keeps the cluster's state and decides. Started by the agent.\n\n${renderOptions(OPTIONS)}`;
