import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { Stage } from "./harness/stage.ts";
import { startOrigin } from "./harness/origin.ts";
import { startRoutedPlane, startWeft } from "./harness/weft.ts";
import { requestText } from "./harness/load.ts";
import { routedRequest } from "./harness/http-rounds.ts";
await using stage = new Stage();
const origin = await startOrigin(stage);
const plane = await startRoutedPlane(stage, origin.port);
const weft = await startWeft(stage, plane, { name: "weft", workers: 1, env: { NODE_OPTIONS: "--require /tmp/s2/exp/snap.cjs" } });
const text = requestText(routedRequest("/bench/100"));
const all: Socket[] = [];
for (let i = 0; i < 3000; i++) {
  const s = connect({ host: "127.0.0.1", port: weft.port, noDelay: true });
  await once(s, "connect"); s.write(text); await once(s, "data"); all.push(s);
}
console.log("open");
await pause(9000);
process.exit(0);
