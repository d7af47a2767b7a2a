/** The interface's enums (CSI 1.x), as far as we know them. */

export const PLUGIN_SERVICE = { controller: 1, accessibilityConstraints: 2 } as const;

export const CONTROLLER_RPC = { createDelete: 1, publishUnpublish: 2 } as const;

export const NODE_RPC = { stageUnstage: 1 } as const;

export const ACCESS_MODE = {
  singleNodeWriter: 1,
  singleNodeReader: 2,
  multiNodeReader: 3,
  multiNodeSingleWriter: 4,
  multiNodeMultiWriter: 5,
} as const;
