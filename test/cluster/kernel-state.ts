import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';

const LABS = '/var/lib/muster/labs';

/**
 * What Muster could leave behind in the kernel, one line each: links, namespaces, nft tables, mounts, cgroups and
 * processes of its programs. Compared before and after. What belongs to other labs that stand beside is left out.
 */
export function kernelState(lab: string): readonly string[] {
  const others = existsSync(LABS) ? readdirSync(LABS).filter((name) => name !== lab) : [];
  const foreign = (line: string): boolean =>
    line.startsWith('mount /tmp/') ||
    (others.length > 0 && /^cgroup \S+\/muster$/.test(line)) ||
    others.some((name) =>
      [`mu-${name}-`, `/muster/${name}/`, `/labs/${name}/`].some((mark) =>
        `${line}/`.includes(mark),
      ),
    );
  return everything().filter((line) => !foreign(line));
}

function everything(): readonly string[] {
  const lines = (text: string): readonly string[] =>
    text.split('\n').filter((line) => line.trim() !== '');
  const links = lines(execFileSync('ip', ['-o', 'link'], { encoding: 'utf8' })).map(
    (line) => `link ${line.split(': ')[1]}`,
  );
  const namespaces = lines(execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' })).map(
    (line) => `netns ${line.split(' ')[0]}`,
  );
  const tables = lines(execFileSync('nft', ['list', 'tables'], { encoding: 'utf8' })).map(
    (line) => `nft ${line}`,
  );
  const mounts = lines(readFileSync('/proc/self/mounts', 'utf8'))
    .map((line) => `mount ${line.split(' ')[1]}`)
    .filter((line) => !line.startsWith('mount /run/netns'));
  return [...links, ...namespaces, ...tables, ...mounts, ...cgroups(), ...processes()].toSorted();
}

function cgroups(): readonly string[] {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter((line) => /^\S+ \S+ cgroup2? /.test(line))
    .map((line) => line.split(' ')[1] ?? '');
  const found = execFileSync(
    'find',
    [...mounts, '-maxdepth', '3', '-type', 'd', '-path', '*muster*'],
    { encoding: 'utf8' },
  );
  return found
    .split('\n')
    .filter(Boolean)
    .map((path) => `cgroup ${path}`);
}

function processes(): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
        return /muster-init|dist\/(agent|manager)\.js/.test(command)
          ? [`process ${pid} ${command.slice(0, 80)}`]
          : [];
      } catch {
        return [];
      }
    });
}
