/** What the sidecar of a pod counts. */
import type { Pod } from "../../src/demo/netns/pod.ts";

/** The sum of the series of a metric that have this label, as it is written: `direction="outbound"`. */
export async function metricSum(pod: Pod, name: string, label: string = ""): Promise<number> {
  const { out } = await pod.exec("application", ["curl", "-s", "http://127.0.0.1:4191/metrics"]);
  return out
    .split("\n")
    .filter((line) => line.startsWith(`${name}{`) && line.includes(label))
    .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
}
