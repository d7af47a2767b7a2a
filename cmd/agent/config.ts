import { hostname } from 'node:os';
import { type OptionValues, parseOptions, renderOptions } from '../../pkg/io/index.ts';

const OPTIONS = [
  {
    name: 'data-dir',
    fallback: '/var/lib/muster',
    text: 'folder for images, containers, volumes, identity and the log',
  },
  {
    name: 'run-dir',
    fallback: '/run/muster',
    text: 'folder for sockets, pid files and namespaces; best on a tmpfs',
  },
  { name: 'socket', fallback: '/run/muster/muster.sock', text: 'unix socket of the Engine API' },
  { name: 'hostname', fallback: hostname(), text: 'name of this node in the cluster' },
  {
    name: 'advertise-address',
    fallback: '',
    text: 'address or link other nodes reach this one at; chosen from the links when empty. Another one than before: this host moves there',
  },
  {
    name: 'managers',
    fallback: '',
    text: 'comma-separated host:port of managers, when all of them have other addresses than this host was told',
  },
  {
    name: 'listen-port',
    fallback: '2377',
    text: 'port for managers and agents to reach this manager',
  },
  { name: 'cgroup-parent', fallback: '/muster', text: 'cgroup below which containers are put' },
  {
    name: 'engine-label',
    fallback: '',
    text: 'comma-separated key=value labels of this engine, for constraints',
  },
  {
    name: 'generic-resource',
    fallback: '',
    text: 'comma-separated resources that tasks may reserve: gpu=2, or gpu=NAME once for each',
  },
  {
    name: 'device',
    fallback: '',
    text: 'devices that tasks may reserve, KIND[=NAME]=/dev/path[,/dev/path…], several times: gpu=/dev/nvidia0,/dev/nvidiactl',
    repeatable: true,
  },
  {
    name: 'insecure-registry',
    fallback: '',
    text: 'comma-separated host:port of registries to speak plain HTTP with',
  },
  { name: 'log-level', fallback: 'info', text: 'debug, info, warn or error' },
] as const;

export type AgentConfig = OptionValues<typeof OPTIONS>;

export function agentConfig(args: readonly string[]): AgentConfig {
  return parseOptions(OPTIONS, args, process.env);
}

export const HELP = `muster agent: runs this host's containers and serves the Engine API.\n\n${renderOptions(OPTIONS)}`;
