import type { FastifyRequest } from 'fastify';
import type { RegistryAuth } from './engine.ts';
import { invalid } from './failure.ts';

/** `X-Registry-Auth`: base64url (or plain base64) of JSON; absent, empty and `e30=` are anonymous. */
export function registryAuth(request: FastifyRequest): RegistryAuth | undefined {
  const header = request.headers['x-registry-auth'];
  const text = Array.isArray(header) ? header[0] : header;
  if (!text) return undefined;
  try {
    const auth = JSON.parse(Buffer.from(text, 'base64url').toString()) as RegistryAuth;
    return auth.username || auth.identitytoken ? auth : undefined;
  } catch (error) {
    throw invalid('invalid X-Registry-Auth header', error);
  }
}
