/** Makes a node and a pod with a program, says the node's name, and then waits to be killed. */
import { TestNode } from "./node.ts";

const node = await TestNode.start();
const pod = await node.addPod("a");
pod.start("application", ["sleep", "600"]);
process.stdout.write(`${node.prefix} ${node.folder}\n`);
setInterval(() => {}, 60_000);
