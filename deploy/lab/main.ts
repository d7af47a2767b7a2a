/** `npm run lab -- VERB …`: several hosts on one machine, to try Muster and to test it. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import type { Target } from './host.ts';
import { Lab } from './lab.ts';

const USAGE = `Several Muster hosts on this one machine, each a network namespace with its own agent.

  npm run lab -- up [--name lab] [--managers 3] [--agents 3] [--no-join] [--ipv6]
                                    make hosts h1, h2, … (managers first), start them, join them to one cluster;
                                    with --ipv6 they have IPv6 addresses alone
  npm run lab -- down               end and remove all of it
  npm run lab -- status [--json]
  npm run lab -- exec HOST CMD…     run CMD in HOST's network; ctl and docker in it talk to HOST
  npm run lab -- kill HOST manager|agent|all        SIGKILL; all is a power cut, containers included
  npm run lab -- stop HOST | start HOST
  npm run lab -- cut HOST [PEER] | heal HOST [PEER] unplug the network cable, or the path to one peer
  npm run lab -- pause HOST manager|agent | resume HOST manager|agent

Every verb takes --name LAB (default: lab); several labs can stand side by side.`;

interface Command {
  readonly words: readonly string[];
  readonly options: ReadonlyMap<string, string>;
}

/** \`exec\` takes the rest of the line as it is once its host is named. */
function parse(args: readonly string[]): Command {
  const words: string[] = [];
  const options = new Map<string, string>();
  for (let at = 0; at < args.length; at++) {
    const word = args[at] ?? '';
    const verbatim = words[0] === 'exec' && words.length >= 2;
    if (verbatim || !word.startsWith('--')) {
      words.push(word);
      continue;
    }
    const [key = '', inline] = word.slice(2).split(/=(.*)/s);
    const flag =
      key === 'no-join' || key === 'json' || key === 'keep' || key === 'help' || key === 'ipv6';
    options.set(key, inline ?? (flag ? 'true' : (args[++at] ?? '')));
  }
  return { words, options };
}

function target(word: string | undefined): Target {
  if (word === 'manager' || word === 'agent' || word === 'all') return word;
  throw new Error(`say manager, agent or all, not ${word ?? 'nothing'}`);
}

async function up(name: string, options: ReadonlyMap<string, string>): Promise<void> {
  const count = (key: string): number => {
    const value = Number(options.get(key) ?? 3);
    if (!Number.isInteger(value) || value < 0) throw new Error(`--${key} is not a count`);
    return value;
  };
  const join = !options.has('no-join');
  const [managers, agents] = [count('managers'), count('agents')];
  const family = options.has('ipv6') ? 'ipv6' : 'ipv4';
  const lab = await Lab.up({ name, managers, agents, join, family });
  console.log(
    `Lab ${name} is up: ${lab.hosts.map((host) => `${host.name} ${host.address}`).join(', ')}`,
  );
  console.log(`Talk to h1:  export DOCKER_HOST=unix://${lab.hosts[0]?.socket}`);
}

function status(lab: Lab, json: boolean): void {
  const hosts = lab.hosts.map((host) => ({
    name: host.name,
    role: host.role,
    address: host.address,
    socket: host.socket,
    dataDir: host.dataDir,
    agentPid: host.agentPid ?? null,
    managerPid: host.managerPid ?? null,
  }));
  if (json) {
    console.log(JSON.stringify({ name: lab.name, hosts }));
    return;
  }
  const row = (...cells: readonly unknown[]): string =>
    cells.map((cell, at) => String(cell ?? '-').padEnd([8, 9, 15, 9, 9, 0][at] ?? 0)).join(' ');
  console.log(row('HOST', 'ROLE', 'ADDRESS', 'AGENT', 'MANAGER', 'SOCKET'));
  for (const host of hosts) {
    console.log(
      row(host.name, host.role, host.address, host.agentPid, host.managerPid, host.socket),
    );
  }
}

function exec(lab: Lab, name: string, command: readonly string[]): number {
  const host = lab.host(name);
  if (command.length === 0) throw new Error('say what to run: npm run lab -- exec HOST CMD…');
  const bin = resolve(import.meta.dirname, '../bin');
  const done = spawnSync('nsenter', [`--net=/run/netns/${host.netns}`, '--', ...command], {
    stdio: 'inherit',
    env: {
      ...process.env,
      DOCKER_HOST: `unix://${host.socket}`,
      PATH: `${bin}:${process.env['PATH']}`,
    },
  });
  if (done.error) throw done.error;
  return done.status ?? 1;
}

async function onHost(lab: Lab, words: readonly string[]): Promise<void> {
  const [verb, name = '', argument] = words;
  const host = lab.host(name);
  switch (verb) {
    case 'kill':
      return await host.kill(target(argument));
    case 'stop':
      return await host.stop();
    case 'start':
      return await host.start();
    case 'cut':
      return argument ? lab.setPath(host, lab.host(argument), 'cut') : host.setLink('down');
    case 'heal':
      return argument ? lab.setPath(host, lab.host(argument), 'healed') : host.setLink('up');
    case 'pause':
      return host.freeze(target(argument), 'SIGSTOP');
    case 'resume':
      return host.freeze(target(argument), 'SIGCONT');
    default:
      throw new Error(`unknown verb ${verb}\n\n${USAGE}`);
  }
}

async function main(args: readonly string[]): Promise<number> {
  const { words, options } = parse(args);
  const name = options.get('name') ?? 'lab';
  if (words.length === 0 || options.has('help')) {
    console.log(USAGE);
    return 0;
  }
  switch (words[0]) {
    case 'up':
      await up(name, options);
      return 0;
    case 'down':
      await Lab.open(name).down();
      return 0;
    case 'status':
      status(Lab.open(name), options.has('json'));
      return 0;
    case 'exec':
      return exec(Lab.open(name), words[1] ?? '', words.slice(2));
    default:
      await onHost(Lab.open(name), words);
      return 0;
  }
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    console.error(`lab: ${error instanceof Error ? error.message : String(error)}`);
    process.exitCode = 1;
  },
);
