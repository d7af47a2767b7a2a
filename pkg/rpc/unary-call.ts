import {
  create,
  type DescMessage,
  type DescMethod,
  type MessageInitShape,
  type MessageShape,
} from '@bufbuild/protobuf';
import { type Client, Metadata, type ServiceError } from '@grpc/grpc-js';
import { methodDefinition } from './codec.ts';

/** One question and one answer. Throws what `failure` makes of an error, which is null when there is no answer at all. */
export async function unaryCall<I extends DescMessage, O extends DescMessage>(
  client: Client,
  call: {
    readonly method: DescMethod & { readonly input: I; readonly output: O };
    readonly request: MessageInitShape<I>;
    readonly deadlineMs: number;
    readonly failure: (error: ServiceError | null) => Error;
  },
): Promise<MessageShape<O>> {
  const { method, request, deadlineMs, failure } = call;
  const { path, requestSerialize, responseDeserialize } = methodDefinition(method);
  const deadline = Date.now() + deadlineMs;
  return await new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      create(method.input, request),
      new Metadata(),
      { deadline },
      (error, response) => {
        if (error || !response) reject(failure(error));
        else resolve(response);
      },
    );
  });
}
