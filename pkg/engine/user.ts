/** Who a container runs as: `user[:group]`, names looked up in the container's own files, as Docker does. */
import { readFile } from 'node:fs/promises';
import { ClusterError } from '../model/index.ts';
import type { ProcessUser } from '../runtime/index.ts';

/** Finds a file of the container's root; undefined when it has none. The path is on the host. */
export type FindFile = (path: string) => Promise<string | undefined>;

export interface ResolvedUser extends ProcessUser {
  /** `/` when unknown. */
  readonly home: string;
}

interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface Group {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

const ID_MAX = 2 ** 32 - 2;
const FILE_MAX_BYTES = 1 << 20;

/**
 * @param text `''`, `1000`, `app`, `app:staff`, `1000:1000`
 * @param extraGroups names or ids, `--group-add`
 * @throws ClusterError `invalid` in Docker's words for unknown names
 */
export async function resolveUser(
  text: string,
  extraGroups: readonly string[],
  find: FindFile,
): Promise<ResolvedUser> {
  const accounts = (await lines(find, '/etc/passwd')).flatMap(parseAccount);
  const groups = (await lines(find, '/etc/group')).flatMap(parseGroup);
  const colon = text.indexOf(':');
  const userText = colon < 0 ? text : text.slice(0, colon);
  const groupText = colon < 0 ? '' : text.slice(colon + 1);
  const account = findAccount(userText === '' ? '0' : userText, accounts);
  const gid = groupText === '' ? account.gid : findGroup(groupText, groups);
  const memberships =
    groupText === '' ? groups.filter((group) => group.members.includes(account.name)) : [];
  const additionalGids = new Set(memberships.map((group) => group.gid));
  for (const extra of extraGroups) additionalGids.add(findGroup(extra, groups));
  additionalGids.delete(gid);
  return {
    uid: account.uid,
    gid,
    additionalGids: [...additionalGids],
    home: account.home === '' ? '/' : account.home,
  };
}

async function lines(find: FindFile, path: string): Promise<readonly string[]> {
  const found = await find(path);
  if (found === undefined) return [];
  const text = await readFile(found, 'utf8').catch(() => '');
  return text.slice(0, FILE_MAX_BYTES).split('\n');
}

function parseAccount(line: string): Account[] {
  const [name = '', , uid = '', gid = '', , home = ''] = line.trim().split(':');
  if (!/^\d+$/.test(uid) || !/^\d+$/.test(gid)) return [];
  return [{ name, uid: Number(uid), gid: Number(gid), home }];
}

function parseGroup(line: string): Group[] {
  const [name = '', , gid = '', members = ''] = line.trim().split(':');
  if (!/^\d+$/.test(gid)) return [];
  return [{ name, gid: Number(gid), members: members.split(',').filter(Boolean) }];
}

function findAccount(text: string, accounts: readonly Account[]): Account {
  const named = accounts.find((account) => account.name === text);
  if (named) return named;
  const uid = numericId(text);
  if (uid === undefined) {
    throw new ClusterError(
      'invalid',
      `unable to find user ${text}: no matching entries in passwd file`,
    );
  }
  const known = accounts.find((account) => account.uid === uid);
  return known ?? { name: '', uid, gid: 0, home: '/' };
}

function findGroup(text: string, groups: readonly Group[]): number {
  const gid = groups.find((group) => group.name === text)?.gid ?? numericId(text);
  if (gid !== undefined) return gid;
  throw new ClusterError(
    'invalid',
    `unable to find group ${text}: no matching entries in group file`,
  );
}

function numericId(text: string): number | undefined {
  const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return value <= ID_MAX ? value : undefined;
}
