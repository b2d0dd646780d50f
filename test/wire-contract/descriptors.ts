/** Every generated file of the contract, and a walk over what they declare. */
import type { DescEnum, DescFile, DescMessage, DescService } from "@bufbuild/protobuf";
import { file_linkerd_destination } from "../../src/core/wire/gen/linkerd/destination_pb.ts";
import { file_linkerd_grpc_route } from "../../src/core/wire/gen/linkerd/grpc_route_pb.ts";
import { file_linkerd_http_route } from "../../src/core/wire/gen/linkerd/http_route_pb.ts";
import { file_linkerd_http_types } from "../../src/core/wire/gen/linkerd/http_types_pb.ts";
import { file_linkerd_identity } from "../../src/core/wire/gen/linkerd/identity_pb.ts";
import { file_linkerd_inbound } from "../../src/core/wire/gen/linkerd/inbound_pb.ts";
import { file_linkerd_meta } from "../../src/core/wire/gen/linkerd/meta_pb.ts";
import { file_linkerd_net } from "../../src/core/wire/gen/linkerd/net_pb.ts";
import { file_linkerd_opaque_route } from "../../src/core/wire/gen/linkerd/opaque_route_pb.ts";
import { file_linkerd_outbound } from "../../src/core/wire/gen/linkerd/outbound_pb.ts";
import { file_linkerd_tls_route } from "../../src/core/wire/gen/linkerd/tls_route_pb.ts";
import { file_linkerd_transport_header } from "../../src/core/wire/gen/linkerd/transport_header_pb.ts";
import { file_weft_extensions } from "../../src/core/wire/gen/weft/extensions_pb.ts";

const files: readonly DescFile[] = [
  file_linkerd_destination,
  file_linkerd_grpc_route,
  file_linkerd_http_route,
  file_linkerd_http_types,
  file_linkerd_identity,
  file_linkerd_inbound,
  file_linkerd_meta,
  file_linkerd_net,
  file_linkerd_opaque_route,
  file_linkerd_outbound,
  file_linkerd_tls_route,
  file_linkerd_transport_header,
  file_weft_extensions,
];

/** Services, messages and enums of all files, nested ones included. */
export function* declarations(): Generator<DescMessage | DescEnum | DescService> {
  for (const file of files) {
    yield* file.services;
    yield* file.enums;
    for (const message of file.messages) yield* withNested(message);
  }
}

function* withNested(message: DescMessage): Generator<DescMessage | DescEnum> {
  yield message;
  yield* message.nestedEnums;
  for (const nested of message.nestedMessages) yield* withNested(nested);
}
