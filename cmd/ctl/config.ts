/** The only place where ctl reads its environment. */
export const DEFAULT_HOST = 'unix:///run/muster/muster.sock';

export interface Environment {
  /** Where the API is: MUSTER_HOST, else DOCKER_HOST, else the local socket. */
  readonly host: string;
  readonly home: string;
  readonly variables: Readonly<Record<string, string | undefined>>;
}

export function readEnvironment(): Environment {
  const variables = process.env;
  return {
    host: variables['MUSTER_HOST'] || variables['DOCKER_HOST'] || DEFAULT_HOST,
    home: variables['HOME'] ?? '/',
    variables,
  };
}
