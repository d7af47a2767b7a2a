import type { FastifyRequest } from 'fastify';
import type { DockerJson } from './engine.ts';
import { invalid } from './failure.ts';

const NANOS_PER_S = 1_000_000_000n;
const FALSE = new Set(['', '0', 'no', 'false', 'none']);

/** A query parameter's first value; undefined when absent. */
export function queryText(request: FastifyRequest, name: string): string | undefined {
  const value = (request.query as Readonly<Record<string, string | string[] | undefined>>)[name];
  return Array.isArray(value) ? value[0] : value;
}

export function queryTexts(request: FastifyRequest, name: string): readonly string[] {
  const value = (request.query as Readonly<Record<string, string | string[] | undefined>>)[name];
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [value];
}

/** Docker's booleans: absent, empty, 0, no, false and none are false (moby `httputils.BoolValue`). */
export function queryFlag(request: FastifyRequest, name: string, fallback = false): boolean {
  const value = queryText(request, name);
  return value === undefined ? fallback : !FALSE.has(value.trim().toLowerCase());
}

export function queryInteger(request: FastifyRequest, name: string): number | undefined {
  const value = queryText(request, name);
  if (value === undefined || value === '') return undefined;
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw invalid(`invalid value "${value}" for ${name}`);
  return number;
}

/** `sec`, `sec.nanos` or RFC 3339, as nanoseconds since the epoch; undefined when absent or 0. */
export function queryTimeNs(request: FastifyRequest, name: string): bigint | undefined {
  const value = queryText(request, name);
  if (value === undefined || value === '' || value === '0') return undefined;
  const match = /^(\d+)(?:\.(\d{1,9}))?$/.exec(value);
  if (match) {
    return BigInt(match[1] ?? '0') * NANOS_PER_S + BigInt((match[2] ?? '').padEnd(9, '0'));
  }
  const parsed = Date.parse(value);
  if (Number.isNaN(parsed)) throw invalid(`invalid value for '${name}': ${value}`);
  return BigInt(parsed) * 1_000_000n;
}

/** `tail=all`, absent or negative: everything. */
export function queryTail(request: FastifyRequest): number | undefined {
  const value = queryText(request, 'tail');
  const count = Number(value);
  if (value === undefined || value === '' || !Number.isInteger(count) || count < 0)
    return undefined;
  return count;
}

export function pathParameter(request: FastifyRequest, name: string): string {
  return (request.params as Readonly<Record<string, string>>)[name] ?? '';
}

/** The JSON object a client sent; an empty body is an empty object. */
export function jsonBody<T extends object = DockerJson>(request: FastifyRequest): T {
  const { body } = request;
  if (body === undefined || body === null) return {} as T;
  if (typeof body !== 'object' || Array.isArray(body))
    throw invalid('invalid JSON: expected an object');
  return body as T;
}

/** `?version=N` of an update. */
export function versionParameter(request: FastifyRequest): number {
  const text = queryText(request, 'version') ?? '';
  const version = Number(text);
  if (text === '' || !Number.isSafeInteger(version)) {
    throw invalid(`invalid version '${text}': must be the version number that was read`);
  }
  return version;
}
