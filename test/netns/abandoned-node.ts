/** Makes a node and a pod with a program, says the node's name, and then waits to be killed. */
import { NetnsNode } from "../../src/demo/netns/node.ts";

const node = await NetnsNode.start();
const pod = await node.addPod("a");
pod.start("application", ["sleep", "600"]);
process.stdout.write(`${node.prefix} ${node.folder}\n`);
setInterval(() => {}, 60_000);
