/** Changes the payload of one frame on its way to disk and back: the place of encryption at rest. */
export interface FrameCodec {
  encode(payload: Uint8Array): Uint8Array;
  /** @throws Error when `payload` is not what `encode` made */
  decode(payload: Uint8Array): Uint8Array;
}

export const plainCodec: FrameCodec = {
  encode: (payload) => payload,
  decode: (payload) => payload,
};
