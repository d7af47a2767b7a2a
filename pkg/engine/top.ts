import type { ContainerProcess } from '../runtime/index.ts';
import type { DockerJson } from './docker-shape.ts';

const TICKS_PER_SECOND = 100;
const TITLES = ['UID', 'PID', 'PPID', 'C', 'STIME', 'TTY', 'TIME', 'CMD'];
const SHORT_TITLES = ['PID', 'USER', 'TIME', 'COMMAND'];

/** `ps -ef` of a container as Docker's `{Titles, Processes}`; `aux`-like arguments give the short form. */
export function renderTop(processes: readonly ContainerProcess[], psArgs: string): DockerJson {
  const full = psArgs === '' || psArgs.includes('-ef') || psArgs.includes('-f');
  return {
    Titles: full ? TITLES : SHORT_TITLES,
    Processes: processes.map((row) => (full ? fullRow(row) : shortRow(row))),
  };
}

function fullRow(row: ContainerProcess): readonly string[] {
  const { uid, pid, ppid, tty } = row;
  const terminal = tty === 0 ? '?' : `pts/${tty & 0xff}`;
  return [
    String(uid),
    String(pid),
    String(ppid),
    '0',
    '-',
    terminal,
    cpuTime(row),
    row.args.join(' '),
  ];
}

function shortRow(row: ContainerProcess): readonly string[] {
  return [String(row.pid), String(row.uid), cpuTime(row), row.args.join(' ')];
}

function cpuTime({ cpuTicks }: ContainerProcess): string {
  const seconds = Math.floor(cpuTicks / TICKS_PER_SECOND);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}
