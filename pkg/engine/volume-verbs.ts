/** The verbs of `docker volume`, Docker-shaped. */
import { ClusterError } from '../model/index.ts';
import type { DockerJson } from './docker-shape.ts';
import type { Host } from './host.ts';
import { volumesOf } from './remove.ts';
import type { Volume } from './volumes.ts';

export class VolumeVerbs {
  readonly #host: Host;

  constructor(host: Host) {
    this.#host = host;
  }

  async list(): Promise<readonly DockerJson[]> {
    return this.#host.volumes.list().map((volume) => this.#render(volume));
  }

  async inspect(name: string): Promise<DockerJson> {
    return this.#render(this.#host.volumes.get(name));
  }

  #render(volume: Volume): DockerJson {
    return {
      CreatedAt: volume.createdAt,
      Driver: volume.driver,
      Labels: volume.labels,
      Mountpoint: this.#host.volumes.path(volume.name),
      Name: volume.name,
      Options: Object.keys(volume.options).length > 0 ? volume.options : null,
      Scope: 'local',
    };
  }

  async create(body: DockerJson): Promise<DockerJson> {
    const { Name, Driver, Labels, DriverOpts } = body as {
      readonly Name?: string;
      readonly Driver?: string;
      readonly Labels?: Readonly<Record<string, string>> | null;
      readonly DriverOpts?: Readonly<Record<string, string>> | null;
    };
    const existed = Name !== undefined && this.#host.volumes.find(Name) !== undefined;
    const volume = await this.#host.volumes.ensure({
      name: Name || undefined,
      driver: Driver || undefined,
      labels: Labels ?? undefined,
      options: DriverOpts ?? undefined,
    });
    if (!existed) this.#emit('create', volume.name);
    return this.#render(volume);
  }

  async remove(name: string, options: { readonly force: boolean }): Promise<void> {
    if (options.force && !this.#host.volumes.find(name)) return;
    const { name: known } = this.#host.volumes.get(name);
    const users = this.#host.registry.list().filter((each) => volumesOf(each).includes(known));
    if (users.length > 0) {
      throw new ClusterError(
        'conflict',
        `remove ${known}: volume is in use - [${users.map(({ id }) => id).join(', ')}]`,
      );
    }
    await this.#host.volumes.remove(known);
    this.#emit('destroy', known);
  }

  #emit(action: string, name: string): void {
    this.#host.events.emit('volume', action, { id: name, attributes: { driver: 'local' } });
  }

  async prune(options: {
    readonly all: boolean;
    readonly keep: (volume: DockerJson) => boolean;
  }): Promise<{ readonly deleted: readonly string[]; readonly spaceReclaimed: number }> {
    const used = new Set(this.#host.registry.list().flatMap(volumesOf));
    const deleted: string[] = [];
    let spaceReclaimed = 0;
    for (const volume of this.#host.volumes.list()) {
      if (used.has(volume.name) || (!options.all && !volume.anonymous)) continue;
      if (options.keep(this.#render(volume))) continue;
      spaceReclaimed += await this.#host.volumes.bytes(volume.name);
      await this.remove(volume.name, { force: true });
      deleted.push(volume.name);
    }
    return { deleted, spaceReclaimed };
  }
}
