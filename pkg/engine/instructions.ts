/** The Dockerfile instructions that `docker import --change` and `commit --change` take. Pure. */
import type { ImageProcess } from '../image/index.ts';
import { ClusterError } from '../model/index.ts';

type Apply = (process: ImageProcess, rest: string) => ImageProcess;

const APPLY: Readonly<Record<string, Apply>> = {
  CMD: (process, rest) => ({ ...process, Cmd: words(rest) }),
  ENTRYPOINT: (process, rest) => ({ ...process, Entrypoint: words(rest) }),
  ENV: (process, rest) => ({ ...process, Env: [...(process.Env ?? []), pairText(rest)] }),
  LABEL: (process, rest) => ({ ...process, Labels: { ...process.Labels, ...pair(rest) } }),
  USER: (process, rest) => ({ ...process, User: rest }),
  WORKDIR: (process, rest) => ({ ...process, WorkingDir: rest }),
  STOPSIGNAL: (process, rest) => ({ ...process, StopSignal: rest }),
  EXPOSE: (process, rest) => ({
    ...process,
    ExposedPorts: { ...process.ExposedPorts, ...ports(rest) },
  }),
  VOLUME: (process, rest) => ({
    ...process,
    Volumes: {
      ...process.Volumes,
      ...Object.fromEntries(
        (rest.startsWith('[') ? words(rest) : rest.split(/\s+/)).map((path) => [path, {}]),
      ),
    },
  }),
};

/** @throws ClusterError `invalid` for an instruction that is not one of these */
export function applyInstructions(process: ImageProcess, lines: readonly string[]): ImageProcess {
  return lines.reduce((current, line) => {
    const [, name = '', rest = ''] = /^\s*(\w+)\s+(.*)$/s.exec(line) ?? [];
    const apply = APPLY[name.toUpperCase()];
    if (!apply) throw new ClusterError('invalid', `${name || line} is not a valid change command`);
    return apply(current, rest.trim());
  }, process);
}

/** The JSON form, or a shell command. */
function words(rest: string): readonly string[] {
  if (!rest.startsWith('[')) return ['/bin/sh', '-c', rest];
  const value: unknown = parseList(rest);
  return Array.isArray(value) ? value.map(String) : ['/bin/sh', '-c', rest];
}

function parseList(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // Docker treats it as a shell command too
  }
}

function pair(rest: string): Readonly<Record<string, string>> {
  const [, key = '', value = ''] = /^([^\s=]+)(?:=|\s+)(.*)$/s.exec(rest) ?? [];
  if (key === '') throw new ClusterError('invalid', `invalid change: ${rest}`);
  return { [key]: value.replace(/^"(.*)"$/s, '$1') };
}

function pairText(rest: string): string {
  return Object.entries(pair(rest))
    .map(([key, value]) => `${key}=${value}`)
    .join('');
}

function ports(rest: string): Readonly<Record<string, object>> {
  const keys = rest.split(/\s+/).map((port) => (port.includes('/') ? port : `${port}/tcp`));
  return Object.fromEntries(keys.map((key) => [key, {}]));
}
