import {
  createVolume,
  type Driver,
  DriverError,
  type Drivers,
  deleteVolume,
  type MadeVolume,
  probe,
  publishVolume,
  unpublishVolume,
} from '../../pkg/csi/index.ts';
import type { Clock, Logger, Timer } from '../../pkg/io/index.ts';
import {
  ClusterError,
  errorMessage,
  must,
  nextVolumeWork,
  removeObject,
  unreachable,
  updateObject,
  type View,
  type Volume,
  type VolumeId,
  type VolumePublication,
  type VolumeWork,
  volumeSecret,
} from '../../pkg/model/index.ts';
import type { Store } from '../../pkg/store/index.ts';

export interface VolumeControllerOptions {
  readonly store: Pick<Store, 'view' | 'update' | 'watch' | 'onLeadership'>;
  /** Of the host of this manager. */
  readonly drivers: Drivers;
  readonly clock: Clock;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

const BACKOFF_FIRST_MS = 500;
const BACKOFF_MAX_MS = 15_000;

/**
 * While this manager leads, has drivers do what the stored volumes ask of their controllers: one call at a time for
 * each volume, again after a failure. Everything it has to know is in the volumes, and the calls may be repeated, so
 * another leader goes on where this one stopped. Resolves when `signal` aborts.
 */
export async function controlVolumes(options: VolumeControllerOptions): Promise<void> {
  const { store, signal } = options;
  const controller = new VolumeController(options);
  using _watch = store.watch(({ changes, reset }) => {
    if (reset) controller.lookAtAll();
    for (const change of changes) {
      if (change.kind !== 'volume' || !change.after) continue;
      const { id, removing } = change.after;
      if (removing && !change.before?.removing) controller.urge(id);
      else controller.look(id);
    }
  });
  using _leadership = store.onLeadership((leading) => controller.leads(leading));
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  controller.leads(false);
}

class VolumeController {
  readonly #options: VolumeControllerOptions;
  readonly #busy = new Set<VolumeId>();
  readonly #pauses = new Map<VolumeId, Timer>();
  /** In a row. */
  readonly #failures = new Map<VolumeId, number>();
  #leading = false;

  constructor(options: VolumeControllerOptions) {
    this.#options = options;
  }

  leads(leading: boolean): void {
    this.#leading = leading;
    for (const pause of this.#pauses.values()) pause.cancel();
    this.#pauses.clear();
    this.#failures.clear();
    if (leading) this.lookAtAll();
  }

  lookAtAll(): void {
    for (const { id } of this.#options.store.view.list('volume')) this.look(id);
  }

  /** Something else is wanted now: what failed before has nothing to wait for. */
  urge(id: VolumeId): void {
    this.#pauses.get(id)?.cancel();
    this.#pauses.delete(id);
    this.look(id);
  }

  look(id: VolumeId): void {
    if (!this.#leading || this.#busy.has(id) || this.#pauses.has(id)) return;
    const volume = this.#options.store.view.get('volume', id);
    const work = volume && nextVolumeWork(volume);
    if (!volume || !work) return;
    this.#busy.add(id);
    void this.#try(volume, work).finally(() => {
      this.#busy.delete(id);
      this.look(id);
    });
  }

  async #try(volume: Volume, work: VolumeWork): Promise<void> {
    const { log } = this.#options;
    try {
      await this.#do(volume, work);
      this.#failures.delete(volume.id);
    } catch (error) {
      if (!this.#leading) return;
      this.#pause(volume.id);
      const text = errorMessage(error);
      log.warn('volume not served', { volume: volume.spec.Name, step: work.kind, error: text });
      const note = (present: Volume): Volume => withError(present, work, text);
      await this.#write(volume.id, note).catch((cause: unknown) =>
        log.warn('error of a volume not written', { volume: volume.id, error: cause }),
      );
    }
  }

  #pause(id: VolumeId): void {
    const failures = this.#failures.get(id) ?? 0;
    this.#failures.set(id, failures + 1);
    const delayMs = Math.min(BACKOFF_FIRST_MS * 2 ** failures, BACKOFF_MAX_MS);
    const pause = this.#options.clock.after(delayMs, () => {
      this.#pauses.delete(id);
      this.look(id);
    });
    this.#pauses.set(id, pause);
  }

  async #do(volume: Volume, work: VolumeWork): Promise<void> {
    const { store, drivers } = this.#options;
    if (work.kind === 'create' && volume.removing && !volume.creating) {
      await this.#write(volume.id, () => undefined);
      return;
    }
    const driver = drivers.get(volume.spec.Driver ?? '');
    await probe(driver);
    if (work.kind === 'create') {
      await this.#create(driver, volume);
      return;
    }
    const info = must(volume.info, `volume ${volume.id} made by its driver`);
    const made = { spec: volume.spec, info, secrets: secretsOf(store.view, volume) };
    switch (work.kind) {
      case 'delete':
        await deleteVolume(driver, made);
        await this.#write(volume.id, (present) => (present.removing ? undefined : present));
        break;
      case 'publish':
        await this.#publish(driver, made, { id: volume.id, publication: work.publication });
        break;
      case 'unpublish':
        await unpublishVolume(driver, made, work.publication.driverNodeId);
        await this.#write(volume.id, (present) =>
          withPublications(present, work.publication, () => []),
        );
        break;
      default:
        unreachable(work);
    }
  }

  /** Noted before the driver is asked: what it makes while this manager dies must be found to be deleted. */
  async #create(driver: Driver, volume: Volume): Promise<void> {
    const secrets = secretsOf(this.#options.store.view, volume);
    if (!volume.creating) await this.#write(volume.id, (one) => ({ ...one, creating: true }));
    try {
      const info = await createVolume(driver, { spec: volume.spec, secrets });
      await this.#write(volume.id, (present) => ({
        ...present,
        info,
        creating: undefined,
        error: undefined,
      }));
    } catch (error) {
      if (error instanceof DriverError && error.nothingDone) {
        await this.#write(volume.id, (one) => ({ ...one, creating: undefined }));
      }
      throw error;
    }
  }

  async #publish(
    driver: Driver,
    made: MadeVolume,
    { id, publication }: { readonly id: VolumeId; readonly publication: VolumePublication },
  ): Promise<void> {
    const context = await publishVolume(driver, made, publication.driverNodeId);
    await this.#write(id, (present) =>
      withPublications(present, publication, (one) => [
        { ...one, state: 'published', context, error: undefined },
      ]),
    );
  }

  /** Undefined removes it. */
  async #write(id: VolumeId, next: (present: Volume) => Volume | undefined): Promise<void> {
    await this.#options.store.update(
      (draft) => {
        const present = draft.get('volume', id);
        if (!present) return;
        const after = next(present);
        if (after === present) return;
        draft.add(after ? updateObject('volume', after) : removeObject('volume', present));
      },
      { asLeader: true },
    );
  }
}

/** In place of the publication if it is still in the state in which the driver was asked. */
function withPublications(
  volume: Volume,
  asked: VolumePublication,
  next: (one: VolumePublication) => readonly VolumePublication[],
): Volume {
  const publications = volume.publications.flatMap((one) =>
    one.nodeId === asked.nodeId && one.state === asked.state ? next(one) : [one],
  );
  return { ...volume, publications };
}

/** Said once. */
function withError(volume: Volume, work: VolumeWork, error: string): Volume {
  if (work.kind === 'create' || work.kind === 'delete') {
    return volume.error === error ? volume : { ...volume, error };
  }
  const { nodeId } = work.publication;
  if (volume.publications.find((one) => one.nodeId === nodeId)?.error === error) return volume;
  return withPublications(volume, work.publication, (one) => [{ ...one, error }]);
}

/** @throws ClusterError when one does not exist any more */
function secretsOf(view: View, { spec }: Volume): Readonly<Record<string, string>> {
  const wanted = spec.ClusterVolumeSpec.Secrets ?? [];
  return Object.fromEntries(
    wanted.map(({ Key, Secret }) => {
      const secret = volumeSecret(view, Secret);
      if (!secret) {
        throw new ClusterError('not-found', `volume ${spec.Name}: there is no secret ${Secret}`);
      }
      return [Key, Buffer.from(secret.spec.Data ?? '', 'base64').toString('utf8')];
    }),
  );
}
