import { type ServiceError, status } from '@grpc/grpc-js';
import { ClusterError, type ErrorKind, errorMessage } from '../model/index.ts';

const STATUS: Readonly<Record<ErrorKind, status>> = {
  'not-found': status.NOT_FOUND,
  invalid: status.INVALID_ARGUMENT,
  conflict: status.ALREADY_EXISTS,
  unauthorized: status.UNAUTHENTICATED,
  forbidden: status.PERMISSION_DENIED,
  unavailable: status.UNAVAILABLE,
  'not-modified': status.FAILED_PRECONDITION,
  'not-implemented': status.UNIMPLEMENTED,
  deadline: status.DEADLINE_EXCEEDED,
  cancelled: status.CANCELLED,
  system: status.INTERNAL,
};
const KIND: ReadonlyMap<number, ErrorKind> = new Map(
  Object.entries(STATUS).map(([kind, code]): [number, ErrorKind] => [code, kind as ErrorKind]),
);

/** What a handler threw, as gRPC sends it. */
export function statusOf(error: unknown): { readonly code: status; readonly details: string } {
  const kind = error instanceof ClusterError ? error.kind : 'system';
  return { code: STATUS[kind], details: errorMessage(error) };
}

/** What a call failed with, as the rest of the program knows errors. */
export function errorOf(error: unknown): ClusterError {
  if (error instanceof ClusterError) return error;
  const { code, details } = error as Partial<ServiceError>;
  if ((code as unknown) === 'ERR_STREAM_PREMATURE_CLOSE') {
    return new ClusterError('cancelled', 'the other side closed the stream', { cause: error });
  }
  const kind = KIND.get(code ?? status.UNKNOWN) ?? 'system';
  return new ClusterError(kind, details || errorMessage(error), { cause: error });
}
