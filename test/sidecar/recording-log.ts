import { type Log, makeLog } from "../../src/edge/telemetry/log.ts";

export type RecordingLog = Log & { readonly text: () => string };

/** The real log, kept in memory. */
export function recordingLog(): RecordingLog {
  let text = "";
  const write = (line: string): void => {
    text += line;
  };
  return { ...makeLog({ level: "debug", name: "test", destination: { write } }), text: () => text };
}
