export type { Digest } from './content.ts';
export type { Snapshot } from './layers.ts';
export { type ImportOptions, importImage, loadImages } from './load.ts';
export {
  type HistoryEntry,
  hostPlatform,
  type ImageConfig,
  type ImageProcess,
  type Platform,
  parsePlatform,
} from './manifest.ts';
export type { OnProgress, Progress } from './progress.ts';
export {
  type DistributionInspect,
  inspectDistribution,
  type PullOptions,
  pullImage,
} from './pull.ts';
export { pushImage } from './push.ts';
export {
  familiarName,
  familiarRepository,
  parseReference,
  type Reference,
  withDefaultTag,
} from './reference.ts';
export type { RegistryAuth, RegistryOptions } from './registry.ts';
export { saveImages } from './save.ts';
export { type Image, ImageStore, type Removal } from './store.ts';
export { readTar, type TarEntry } from './tar.ts';
export { type TarMember, tarEnd, tarHeader, tarMember, tarPadding } from './tar-write.ts';
export { unpackArchive } from './unpack.ts';
