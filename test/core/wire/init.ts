import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";

/** The plain form of a message, which can be spread (a message itself cannot). */
export type Init<D extends DescMessage> = Extract<MessageInitShape<D>, { $typeName?: never }>;
