import { ClusterError, type ErrorKind } from '../model/index.ts';
import { RuntimeError, type RuntimeErrorCode } from '../runtime/index.ts';

const KINDS: Readonly<Record<RuntimeErrorCode, ErrorKind>> = {
  invalid: 'invalid',
  exists: 'conflict',
  'not-found': 'not-found',
  conflict: 'conflict',
  'exec-not-found': 'invalid',
  'exec-denied': 'invalid',
  fenced: 'unavailable',
  lost: 'system',
  failed: 'system',
};

/** A runtime failure as what a user may see; anything else is passed on. */
export function asClusterError(error: unknown, attempted: string): unknown {
  if (!(error instanceof RuntimeError)) return error;
  return new ClusterError(KINDS[error.code], `${attempted}: ${error.message}`, { cause: error });
}

/** For `.catch()`. */
export function rethrow(attempted: string): (error: unknown) => never {
  return (error) => {
    throw asClusterError(error, attempted);
  };
}
