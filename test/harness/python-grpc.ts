/** Peers of gRPC in Python, of Debian's `python3-grpcio`: a service in all four shapes, and a client of it. */
import type { Program } from "./needing.ts";

/** Debian's, which is not always the first one of a machine. */
const python = "/usr/bin/python3";

export const pythonGrpc: Program = {
  command: python,
  trial: ["-c", "import grpc"],
  debianPackage: "python3-grpcio",
};

const client = `
import sys, grpc
same = lambda b: b
authority, targets = sys.argv[1], sys.argv[2:]
named = [("grpc.default_authority", authority)] if authority else []
for target in targets:
    channel = grpc.insecure_channel(target, named + [("grpc.enable_http_proxy", 0)])
    made = lambda kind, name: getattr(channel, kind)("/demo.Echo/" + name, same, same)
    print(made("unary_unary", "Unary")(b"one", wait_for_ready=True).decode())
    print(made("stream_unary", "Gather")(iter([b"a", b"b"])).decode())
    print("+".join(m.decode() for m in made("unary_stream", "Spread")(b"xyz")))
    print("+".join(m.decode() for m in made("stream_stream", "Chat")(iter([b"p", b"q"]))))
    try:
        made("unary_unary", "Unary")(b"one", metadata=[("fail", "9")])
    except grpc.RpcError as error:
        print(error.code().name, error.details())
    channel.close()
`;

/** What the client says of a target where all five calls went as they should. */
export const saidByPython = "one\nab\nx+y+z\np+q\nFAILED_PRECONDITION asked to fail\n";

/** `authority`: empty for that of the target. */
export function pythonClient(authority: string, ...targets: readonly string[]): readonly string[] {
  return [python, "-c", client, authority, ...targets];
}

const server = `
import sys, grpc
from concurrent import futures
same = lambda b: b
def unary(message, context):
    wanted = dict(context.invocation_metadata()).get("fail")
    codes = {code.value[0]: code for code in grpc.StatusCode}
    if wanted: context.abort(codes[int(wanted)], "asked to fail")
    return message
class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        name = details.method.split("/")[-1]
        if name == "Unary": return grpc.unary_unary_rpc_method_handler(unary, same, same)
        if name == "Gather": return grpc.stream_unary_rpc_method_handler(lambda ms, c: b"".join(ms), same, same)
        if name == "Spread": return grpc.unary_stream_rpc_method_handler(lambda m, c: (bytes([b]) for b in m), same, same)
        if name == "Chat": return grpc.stream_stream_rpc_method_handler(lambda ms, c: (m for m in ms), same, same)
server = grpc.server(futures.ThreadPoolExecutor(4))
server.add_generic_rpc_handlers((Echo(),))
print("listening on", server.add_insecure_port(sys.argv[1]), flush=True)
server.start()
server.wait_for_termination()
`;

/** `address`: with its port; it says "listening on PORT". */
export function pythonServer(address: string): readonly string[] {
  return [python, "-c", server, address];
}
