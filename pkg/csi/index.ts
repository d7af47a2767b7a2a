export {
  createVolume,
  deleteVolume,
  type MadeVolume,
  probe,
  publishVolume,
  unpublishVolume,
} from './controller.ts';
export { type Driver, DriverError } from './driver.ts';
export { Drivers, followDrivers } from './drivers.ts';
export {
  bringVolume,
  type NodeVolume,
  takeVolumeAway,
  type VolumePaths,
} from './node.ts';
