import { invalid } from './failure.ts';

/** Newest and oldest version of the Engine API served here. */
export const API_VERSION = '1.50';
export const API_VERSION_MIN = '1.24';

const PREFIX = /^\/v(\d+)\.(\d+)(?=\/|\?|$)/;

export interface VersionedUrl {
  /** Without the version prefix. */
  readonly url: string;
  /** As asked, `1.47`; undefined when the path has none. */
  readonly version: string | undefined;
}

export function splitVersion(url: string): VersionedUrl {
  const match = PREFIX.exec(url);
  if (!match) return { url, version: undefined };
  return { url: url.slice(match[0].length) || '/', version: `${match[1]}.${match[2]}` };
}

/** Throws kind `invalid`, in Docker's words, for a version outside the served range. */
export function checkVersion(version: string | undefined): void {
  if (version === undefined) return;
  if (compareVersions(version, API_VERSION) > 0) {
    throw invalid(
      `client version ${version} is too new. Maximum supported API version is ${API_VERSION}`,
    );
  }
  if (compareVersions(version, API_VERSION_MIN) < 0) {
    throw invalid(
      `client version ${version} is too old. Minimum supported API version is ${API_VERSION_MIN}, please upgrade your client to a newer version`,
    );
  }
}

export function compareVersions(left: string, right: string): number {
  const [leftMajor = 0, leftMinor = 0] = left.split('.').map(Number);
  const [rightMajor = 0, rightMinor = 0] = right.split('.').map(Number);
  return leftMajor - rightMajor || leftMinor - rightMinor;
}
