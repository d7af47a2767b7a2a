import { isMap } from './problem.ts';

/** What a value may be. `map`: free keys, each of the given kind. `keys`: exactly these (and x-…). */
type Kind =
  | 'text'
  | 'number'
  | 'scalar'
  | 'truth'
  | 'list'
  | 'any'
  | 'pairs'
  | 'text-or-list'
  | {
      readonly keys: Readonly<Record<string, Kind>>;
      readonly orText?: boolean;
      readonly orNumber?: boolean;
    }
  | { readonly map: Kind; readonly orList?: boolean }
  | { readonly each: Kind };

export interface SchemaProblem {
  readonly path: readonly string[];
  readonly message: string;
}

const EXTERNAL: Kind = 'any';

const RESOURCES = (extra: Readonly<Record<string, Kind>>): Kind => ({
  keys: { cpus: 'scalar', memory: 'scalar', ...extra },
});

const UPDATE: Kind = {
  keys: {
    parallelism: 'scalar',
    delay: 'scalar',
    failure_action: 'text',
    monitor: 'scalar',
    max_failure_ratio: 'scalar',
    order: 'text',
  },
};

const DEVICE_REQUEST: Kind = {
  keys: {
    capabilities: 'list',
    count: 'scalar',
    device_ids: 'list',
    driver: 'text',
    options: 'any',
  },
};

const DEPLOY: Kind = {
  keys: {
    mode: 'text',
    endpoint_mode: 'text',
    replicas: 'scalar',
    labels: 'pairs',
    update_config: UPDATE,
    rollback_config: UPDATE,
    resources: {
      keys: {
        limits: RESOURCES({ pids: 'scalar' }),
        reservations: RESOURCES({ generic_resources: 'list', devices: { each: DEVICE_REQUEST } }),
      },
    },
    restart_policy: {
      keys: { condition: 'text', delay: 'scalar', max_attempts: 'scalar', window: 'scalar' },
    },
    placement: {
      keys: { constraints: 'list', preferences: 'list', max_replicas_per_node: 'scalar' },
    },
  },
};

const FILE_REFERENCE: Kind = {
  each: {
    keys: { source: 'text', target: 'text', uid: 'scalar', gid: 'scalar', mode: 'scalar' },
    orText: true,
  },
};

const SERVICE_KEYS: Readonly<Record<string, Kind>> = {
  build: 'any',
  cap_add: 'list',
  cap_drop: 'list',
  cgroup_parent: 'text',
  cgroupns_mode: 'text',
  command: 'text-or-list',
  configs: FILE_REFERENCE,
  container_name: 'text',
  credential_spec: 'any',
  depends_on: 'list',
  deploy: DEPLOY,
  devices: 'list',
  dns: 'text-or-list',
  dns_search: 'text-or-list',
  domainname: 'text',
  entrypoint: 'text-or-list',
  env_file: 'text-or-list',
  environment: 'pairs',
  expose: 'list',
  external_links: 'list',
  extra_hosts: 'pairs',
  healthcheck: {
    keys: {
      disable: 'truth',
      interval: 'scalar',
      timeout: 'scalar',
      retries: 'scalar',
      start_period: 'scalar',
      start_interval: 'scalar',
      test: 'text-or-list',
    },
  },
  hostname: 'text',
  image: 'text',
  init: 'truth',
  ipc: 'text',
  isolation: 'text',
  labels: 'pairs',
  links: 'list',
  logging: { keys: { driver: 'text', options: { map: 'scalar' } } },
  mac_address: 'text',
  network_mode: 'text',
  networks: {
    map: {
      keys: {
        aliases: 'list',
        ipv4_address: 'text',
        ipv6_address: 'text',
        driver_opts: { map: 'scalar' },
      },
    },
    orList: true,
  },
  oom_score_adj: 'scalar',
  pid: 'text',
  ports: {
    each: {
      keys: { mode: 'text', target: 'scalar', published: 'scalar', protocol: 'text' },
      orText: true,
      orNumber: true,
    },
  },
  privileged: 'truth',
  read_only: 'truth',
  restart: 'text',
  secrets: FILE_REFERENCE,
  security_opt: 'list',
  shm_size: 'scalar',
  stdin_open: 'truth',
  stop_grace_period: 'scalar',
  stop_signal: 'text',
  sysctls: 'pairs',
  tmpfs: 'text-or-list',
  tty: 'truth',
  ulimits: { map: { keys: { soft: 'scalar', hard: 'scalar' }, orNumber: true } },
  user: 'scalar',
  userns_mode: 'text',
  volumes: {
    each: {
      keys: {
        type: 'text',
        source: 'text',
        target: 'text',
        read_only: 'truth',
        consistency: 'text',
        bind: { keys: { propagation: 'text' } },
        volume: { keys: { nocopy: 'truth', subpath: 'text' } },
        tmpfs: { keys: { size: 'scalar' } },
        image: 'any',
        cluster: 'any',
      },
      orText: true,
    },
  },
  working_dir: 'text',
};

const FILE_OBJECT: Kind = {
  keys: {
    name: 'text',
    file: 'text',
    external: EXTERNAL,
    labels: 'pairs',
    driver: 'text',
    driver_opts: { map: 'scalar' },
    template_driver: 'text',
  },
};

const FILE: Kind = {
  keys: {
    version: 'scalar',
    name: 'text',
    services: { map: { keys: SERVICE_KEYS } },
    networks: {
      map: {
        keys: {
          name: 'text',
          driver: 'text',
          driver_opts: { map: 'scalar' },
          enable_ipv6: 'truth',
          ipam: { keys: { driver: 'text', config: { each: { keys: { subnet: 'text' } } } } },
          external: EXTERNAL,
          internal: 'truth',
          attachable: 'truth',
          labels: 'pairs',
        },
      },
    },
    volumes: {
      map: {
        keys: {
          name: 'text',
          driver: 'text',
          driver_opts: { map: 'scalar' },
          external: EXTERNAL,
          labels: 'pairs',
          'x-cluster-spec': 'any',
        },
      },
    },
    secrets: { map: FILE_OBJECT },
    configs: { map: FILE_OBJECT },
  },
};

/** Keys that stacks cannot have, and what to write instead (Docker's advice). */
export const FORBIDDEN: Readonly<Record<string, string>> = {
  extends: 'Support for `extends` is not implemented yet.',
  volume_driver:
    'Instead of setting the volume driver on the service, define a volume using the top-level `volumes` option and specify the driver there.',
  volumes_from:
    'To share a volume between services, define it using the top-level `volumes` option and reference it from each service that shares it using the service-level `volumes` option.',
  cpu_quota: 'Set resource limits using deploy.resources',
  cpu_shares: 'Set resource limits using deploy.resources',
  cpuset: 'Set resource limits using deploy.resources',
  mem_limit: 'Set resource limits using deploy.resources',
  memswap_limit: 'Set resource limits using deploy.resources',
};

/** The first thing in a parsed file that is not as the Compose file format 3 wants it. */
export function firstProblem(file: unknown): SchemaProblem | undefined {
  return check(file, FILE, []);
}

function check(value: unknown, kind: Kind, path: readonly string[]): SchemaProblem | undefined {
  if (value === null || value === undefined || kind === 'any') return undefined;
  if (typeof kind === 'string') return checkSimple(value, kind, path);
  if ('each' in kind) return checkEach(value, kind.each, path);
  if ('map' in kind) {
    if (kind.orList && Array.isArray(value)) return undefined;
    if (!isMap(value)) return { path, message: 'must be a mapping' };
    return firstOf(Object.entries(value), path, () => kind.map);
  }
  if (kind.orText && typeof value === 'string') return undefined;
  if (kind.orNumber && isScalar(value)) return undefined;
  if (!isMap(value)) return { path, message: 'must be a mapping' };
  return checkKeys(value, kind.keys, path);
}

function checkEach(value: unknown, kind: Kind, path: readonly string[]): SchemaProblem | undefined {
  if (!Array.isArray(value)) return { path, message: 'must be a list' };
  return firstOf(
    value.map((item, at) => [String(at), item]),
    path,
    () => kind,
  );
}

function checkKeys(
  value: Readonly<Record<string, unknown>>,
  keys: Readonly<Record<string, Kind>>,
  path: readonly string[],
): SchemaProblem | undefined {
  const unknown = Object.keys(value).find(
    (key) => !(key in keys) && !key.startsWith('x-') && !(key in FORBIDDEN),
  );
  if (unknown !== undefined)
    return { path: [...path, unknown], message: `Additional property ${unknown} is not allowed` };
  return firstOf(Object.entries(value), path, (key) => keys[key] ?? 'any');
}

function firstOf(
  entries: readonly (readonly [string, unknown])[],
  path: readonly string[],
  kindOf: (key: string) => Kind,
): SchemaProblem | undefined {
  for (const [key, item] of entries) {
    const problem = check(item, kindOf(key), [...path, key]);
    if (problem) return problem;
  }
  return undefined;
}

type Simple = Extract<Kind, string>;

const SIMPLE: Readonly<
  Record<Simple, { readonly fits: (value: unknown) => boolean; readonly wanted: string }>
> = {
  any: { fits: () => true, wanted: 'anything' },
  text: { fits: (value) => typeof value === 'string', wanted: 'a string' },
  number: { fits: (value) => typeof value === 'number', wanted: 'a number' },
  scalar: { fits: isScalar, wanted: 'a string or number' },
  truth: {
    fits: (value) => typeof value === 'boolean' || typeof value === 'string',
    wanted: 'a boolean',
  },
  list: { fits: Array.isArray, wanted: 'a list' },
  'text-or-list': {
    fits: (value) => typeof value === 'string' || Array.isArray(value),
    wanted: 'a string or a list',
  },
  pairs: {
    fits: (value) => isMap(value) || Array.isArray(value),
    wanted: 'a mapping or a list of key=value',
  },
};

function checkSimple(
  value: unknown,
  kind: Simple,
  path: readonly string[],
): SchemaProblem | undefined {
  const rule = SIMPLE[kind];
  return rule.fits(value) ? undefined : { path, message: `must be ${rule.wanted}` };
}

function isScalar(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}
