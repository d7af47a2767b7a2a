import Fastify from 'fastify';
import { expect, test } from 'vitest';
import {
  createService,
  type InstantMs,
  removeObject,
  type ServiceId,
  type ServiceSpec,
  Tables,
  type Task,
  updateObject,
  type Version,
} from '../../model/index.ts';
import { type Batch, Moment } from '../../store/index.ts';
import type { ClusterContext } from '../context.ts';
import { serviceRoutes } from './service.ts';
import { taskRoutes } from './task.ts';

const NOW = 1 as InstantMs;
const SERVICES = 400;
const TASKS_EACH = 10;

/** Services with their tasks, which can be changed between the slices of an answer. */
class Shop {
  readonly tables = new Tables();
  readonly #listeners = new Set<(batch: Batch) => void>();
  #index = 0;

  readonly context = {
    cluster: {
      store: {
        barrier: async () => this.tables,
        moment: () =>
          new Moment(this.tables, (listener) => {
            this.#listeners.add(listener);
            return { [Symbol.dispose]: (): void => void this.#listeners.delete(listener) };
          }),
      },
    },
  } as unknown as ClusterContext;

  constructor() {
    for (let at = 0; at < SERVICES; at++) {
      const spec: ServiceSpec = {
        Name: `web${at}`,
        TaskTemplate: { ContainerSpec: { Image: `image${at}` } },
        Mode: { Replicated: { Replicas: TASKS_EACH } },
      };
      this.apply(createService(`s${at}` as ServiceId, spec, NOW).changes);
      for (let slot = 1; slot <= TASKS_EACH; slot++) this.addTask(at, slot);
    }
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  addTask(service: number, slot: number): void {
    const task = {
      id: `t${service}-${slot}`,
      createdAt: NOW,
      serviceId: `s${service}`,
      serviceName: `web${service}`,
      specVersion: 1,
      slot,
      desiredState: 'running',
      nodeId: 'n1',
      status: { state: slot > 100 ? 'new' : 'running', at: NOW, message: '' },
      networks: [],
    } as unknown as Task;
    this.apply([{ action: 'create', kind: 'task', object: task }]);
  }

  /** Half of the tasks go, then new ones come; services are removed or renamed, their tasks with them. */
  disturb(at: number): void {
    const service = this.tables.get('service', `s${at}` as ServiceId);
    if (!service) return;
    for (const task of this.tables.tasksOfService(service.id)) {
      const status = { ...task.status, state: 'failed' as const };
      if (task.slot % 2) this.apply([removeObject('task', task)]);
      else this.apply([updateObject('task', { ...task, status })]);
    }
    for (let slot = 1; slot <= TASKS_EACH; slot++) this.addTask(at, slot + 100);
    const revision = this.tables.revision(service.id, 1);
    if (revision) this.apply([removeObject('revision', revision)]);
    if (at % 2) this.apply([removeObject('service', service)]);
  }

  apply(changes: Parameters<Tables['apply']>[0]): void {
    this.#index += 1;
    expect(this.tables.check(changes)).toBeUndefined();
    const applied = this.tables.apply(changes, this.#index as Version, NOW);
    const batch = { index: this.tables.index, now: NOW, changes: applied, reset: false };
    for (const listener of [...this.#listeners]) listener(batch);
  }
}

test.each(['/tasks', '/services?status=true'])(
  '%s is of one moment, whatever is written while it is made',
  async (url) => {
    const app = Fastify();
    const shop = new Shop();
    taskRoutes(app, shop.context);
    serviceRoutes(app, shop.context);
    const before = (await app.inject(url)).json<object[]>();
    // From the last on: what is rendered late is changed early.
    let next = SERVICES - 1;
    const disturb = (): void => {
      if (next < 0) return;
      // The listing has begun, and is not at its end.
      if (shop.listeners > 0) for (let n = 0; n < 50; n++) shop.disturb(next--);
      setImmediate(disturb);
    };
    setImmediate(disturb);
    const during = (await app.inject(url)).json<object[]>();
    expect(next).toBeLessThan(SERVICES - 50);
    expect(during).toEqual(before);
    expect(shop.listeners).toBe(0);
    next = -1;
    const after = (await app.inject(url)).json<object[]>();
    expect(after).not.toEqual(before);
    await app.close();
  },
);
