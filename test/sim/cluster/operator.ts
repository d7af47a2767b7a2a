import {
  type Availability,
  applyServiceUpdate,
  ClusterError,
  createService,
  type DraftTables,
  type NetworkId,
  type NodeId,
  removeObject,
  rollbackService,
  type ServiceId,
  type ServiceSpec,
  serviceMode,
  updateObject,
} from '../../../pkg/model/index.ts';
import { withImage, withReplicas } from '../decide-cluster.ts';
import type { World } from '../store/world.ts';
import type { Manager } from './manager.ts';

const SERVICES_MAX = 4;
const REPLICAS_MAX = 6;

export interface OperatorOptions {
  readonly world: World;
  readonly networks: readonly NetworkId[];
  readonly fenceChance: number;
  /** Any manager that runs. */
  readonly manager: () => Manager | undefined;
  readonly nodes: () => readonly NodeId[];
  readonly note: (line: string) => void;
}

/** Somebody who creates, changes and removes services, and drains nodes, through whichever manager is there. */
export class Operator {
  readonly #options: OperatorOptions;
  #names = 0;
  #ids = 0;

  constructor(options: OperatorOptions) {
    this.#options = options;
  }

  /** One wish; its outcome does not matter. */
  wish(): void {
    const { random } = this.#options.world;
    const manager = this.#options.manager();
    if (!manager) return;
    const services = [...manager.store.view.list('service')].map(({ id }) => id);
    const roll = random.below(100);
    if (services.length === 0 || (roll < 22 && services.length < SERVICES_MAX)) this.create();
    else if (roll < 45) this.#update(random.pick(services));
    else if (roll < 60) this.#scale(random.pick(services));
    else if (roll < 68) this.remove(random.pick(services));
    else if (roll < 75) this.#rollBack(random.pick(services));
    else this.#availability(random.pick(this.#options.nodes()));
  }

  create(spec: ServiceSpec = this.#spec()): ServiceId {
    this.#ids += 1;
    const id = `service${this.#ids}` as ServiceId;
    this.#ask(`create ${id} ${JSON.stringify(spec)}`, (draft, now) => {
      for (const change of createService(id, spec, now).changes) draft.add(change);
    });
    return id;
  }

  removeEverything(): void {
    this.#ask('remove everything', (draft) => {
      for (const service of [...draft.list('service')]) draft.add(removeObject('service', service));
      for (const network of [...draft.list('network')]) {
        if (!network.spec.Ingress)
          draft.add(updateObject('network', { ...network, removing: true }));
      }
    });
  }

  /** Nothing that can only fail is asked for any more. */
  onlyGoodImages(): void {
    this.#ask('only good images', (draft, now) => {
      for (const service of [...draft.list('service')]) {
        const spec = withImage(service.spec, 'good1');
        for (const change of applyServiceUpdate(service, spec, now).changes) draft.add(change);
      }
    });
  }

  everyNodeActive(): void {
    for (const id of this.#options.nodes()) this.#setAvailability(id, 'active');
  }

  removeNode(id: NodeId): void {
    this.#ask(`node rm ${id}`, (draft) => {
      const node = draft.get('node', id);
      if (node?.status.state === 'down') draft.add(removeObject('node', node));
    });
  }

  #ask(line: string, work: (draft: DraftTables, now: ReturnType<Manager['now']>) => void): void {
    const { manager: choose, note } = this.#options;
    const manager = choose();
    if (!manager) return;
    note(`operator through ${manager.raftId}: ${line}`);
    const { store } = manager;
    store
      .update((draft) => work(draft, store.now()))
      .catch((error: unknown) => {
        if (!(error instanceof ClusterError)) throw error;
        note(`refused: ${error.message}`);
      });
  }

  #spec(): ServiceSpec {
    const { world, networks, fenceChance } = this.#options;
    const { random } = world;
    this.#names += 1;
    const replicated = !random.chance(0.2);
    const fence = replicated && random.chance(fenceChance) ? random.pick(['3s', '6s']) : undefined;
    const policy = {
      Parallelism: random.below(4),
      Delay: random.below(3) * 5e8,
      Monitor: random.pick([3e8, 1e9, 3e9]),
      // What starts first has two copies; it cannot be asked for together with the fence.
      Order: fence ? 'stop-first' : random.pick(['start-first', 'stop-first']),
      FailureAction: random.pick(['pause', 'continue', 'rollback']),
      MaxFailureRatio: random.pick([0, 0.3, 0.5]),
    };
    const labels = fence
      ? { 'muster.fence': fence }
      : random.chance(0.3) && { 'muster.rebalance': random.pick(['1s', '2s', '5s']) };
    const reserve = random.chance(0.3) ? { Reservations: { NanoCPUs: 1e9 } } : undefined;
    const mode = random.pick(['none', 'none', 'ingress', 'host']);
    return {
      Name: `svc${this.#names}`,
      ...(labels && { Labels: labels }),
      TaskTemplate: {
        ContainerSpec: { Image: random.pick(['good1', 'good2', 'good3', 'bad1']) },
        Resources: reserve,
        Networks: random.chance(0.7) ? [{ Target: random.pick(networks) }] : [],
        RestartPolicy: { Condition: 'any', Delay: random.pick([0, 2e8, 1e9, 5e9]), MaxAttempts: 0 },
      },
      Mode: replicated
        ? { Replicated: { Replicas: 1 + random.below(REPLICAS_MAX) } }
        : { Global: {} },
      UpdateConfig: policy,
      RollbackConfig: { ...policy, FailureAction: 'pause' },
      EndpointSpec: {
        Ports:
          mode === 'none'
            ? []
            : [
                mode === 'host'
                  ? { TargetPort: 80, PublishedPort: 8000 + random.below(3), PublishMode: 'host' }
                  : { TargetPort: 80 },
              ],
      },
    };
  }

  #change(id: ServiceId, what: string, change: (spec: ServiceSpec) => ServiceSpec): void {
    this.#ask(`${what} ${id}`, (draft, now) => {
      const service = draft.get('service', id);
      if (!service) return;
      const update = applyServiceUpdate(service, change(service.spec), now);
      for (const one of update.changes) draft.add(one);
    });
  }

  #update(id: ServiceId): void {
    const { random } = this.#options.world;
    const image = random.pick(['good1', 'good2', 'good3', 'bad1', 'bad2', 'missing1']);
    this.#change(id, `update to ${image}`, (spec) => withImage(spec, image));
  }

  #scale(id: ServiceId): void {
    const replicas = this.#options.world.random.below(REPLICAS_MAX + 1);
    this.#change(id, `scale to ${replicas}`, (spec) =>
      serviceMode(spec).kind === 'replicated' ? withReplicas(spec, replicas) : spec,
    );
  }

  remove(id: ServiceId): void {
    this.#ask(`remove ${id}`, (draft) => {
      const service = draft.get('service', id);
      if (service) draft.add(removeObject('service', service));
    });
  }

  #rollBack(id: ServiceId): void {
    this.#ask(`roll back ${id}`, (draft, now) => {
      const service = draft.get('service', id);
      if (!service?.previousSpec) return;
      for (const change of rollbackService(service, now).changes) draft.add(change);
    });
  }

  #availability(id: NodeId): void {
    this.#setAvailability(
      id,
      this.#options.world.random.pick(['drain', 'pause', 'active', 'active']),
    );
  }

  #setAvailability(id: NodeId, availability: Availability): void {
    this.#ask(`node ${id} ${availability}`, (draft) => {
      const node = draft.get('node', id);
      if (!node || node.spec.Availability === availability) return;
      draft.add(
        updateObject('node', { ...node, spec: { ...node.spec, Availability: availability } }),
      );
    });
  }
}
