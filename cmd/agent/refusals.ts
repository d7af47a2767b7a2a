/** What commands about this host's membership are refused with: the words that Docker's clients and scripts know. */
export const ALREADY_MEMBER =
  'This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.';
export const NOT_MEMBER = 'This node is not part of a swarm';
export const NOT_MANAGER =
  'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';
export const WORKER =
  "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state. Please run this command on a manager node or promote the current node to a manager.";
export const REMOVED =
  'This node was removed from the managers of its swarm. It becomes a worker when it reaches one of them; otherwise run "docker swarm leave --force" and join again.';

export const LOCKED =
  'Swarm is encrypted and needs to be unlocked before it can be used. Please use "docker swarm unlock" to unlock it.';
export const NO_KEY = 'invalid key string';
export const WRONG_KEY = 'swarm could not be unlocked: invalid key provided';

const LEAVING =
  'You are attempting to leave the swarm on a node that is participating as a manager.';
export const LEAVING_LAST = `${LEAVING} Removing the last manager erases all current state of the swarm. Use \`--force\` to ignore this message.`;
export const LEAVING_MANAGER = `${LEAVING} The only way to restore a swarm that has lost consensus is to reinitialize it with \`--force-new-cluster\`. Use \`--force\` to suppress this message.`;
export const LEAVING_LOCKED =
  'Swarm is encrypted and locked. Please unlock it first or use `--force` to ignore this message.';
