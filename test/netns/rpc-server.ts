/** A service of gRPC over `@grpc/grpc-js` in a pod. Arguments: address with its port, and a name for its trailers. */
import { RpcServer } from "../harness/rpc.ts";

const [address = "", name] = process.argv.slice(2);
await RpcServer.start(address, name);
process.stdout.write("listening\n");
