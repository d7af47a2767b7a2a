import { ClusterError } from '../model/index.ts';
import { parseReference } from './reference.ts';
import { type RegistryAuth, RegistryClient, type RegistryOptions } from './registry.ts';

const HUB = /^(https?:\/\/)?(index\.)?docker\.io(\/.*)?$/;

/**
 * Asks the registry that `auth.serveraddress` names whether it knows the credentials.
 * @throws ClusterError `unauthorized` when it does not; as `docker pull` fails when it cannot be asked
 */
export async function checkLogin(
  auth: RegistryAuth,
  options: { readonly registry?: RegistryOptions | undefined; readonly signal?: AbortSignal } = {},
): Promise<void> {
  const address = auth.serveraddress ?? '';
  const host = address.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
  const hub = address === '' || HUB.test(address);
  const reference = parseReference(hub ? 'library/login' : `${host}/login`);
  try {
    await new RegistryClient(reference, auth, options.registry).ping(options.signal);
  } catch (cause) {
    if (!(cause instanceof ClusterError) || cause.kind !== 'not-found') throw cause;
    throw refused(hub ? 'registry-1.docker.io' : host, cause);
  }
}

function refused(host: string, cause: ClusterError): ClusterError {
  const text = `Get "https://${host}/v2/": unauthorized: incorrect username or password`;
  return new ClusterError('unauthorized', text, { cause });
}
