/**
 * The log of a process: one JSON object a line on stderr, an event name and fields, never a sentence glued from values.
 * Lines are written at once, so that the last line before an exit is not lost; it is for events, not for traffic (the
 * access log has its own writer). A field that holds a secret is a `Secret` and prints as `[redacted]`.
 */
import { type DestinationStream, pino } from "pino";

export type Fields = Readonly<Record<string, unknown>>;

export type Log = {
  /** Event names are snake_case facts: `certificate_issued`, `policy_refused`. An Error goes into the field `error`. */
  debug(event: string, fields?: Fields): void;
  info(event: string, fields?: Fields): void;
  warn(event: string, fields?: Fields): void;
  error(event: string, fields?: Fields): void;
};

export type LogOptions = {
  /** The least important level to write: `debug`, `info`, `warn` or `error`. */
  readonly level: string;
  /** Which process writes, in every line. */
  readonly name: string;
  /** Where lines go instead of stderr. */
  readonly destination?: DestinationStream;
};

export function makeLog(options: LogOptions): Log {
  const destination = options.destination ?? pino.destination({ fd: 2, sync: true });
  const logger = pino(
    {
      level: options.level,
      base: { name: options.name, pid: process.pid },
      messageKey: "event",
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
      serializers: { error: pino.stdSerializers.err },
    },
    destination,
  );
  return {
    debug: (event, fields = {}) => logger.debug(fields, event),
    info: (event, fields = {}) => logger.info(fields, event),
    warn: (event, fields = {}) => logger.warn(fields, event),
    error: (event, fields = {}) => logger.error(fields, event),
  };
}
