/** SETTINGS (RFC 9113 §6.5): what the peer said, and what we say. */
import { maxHeadBytes } from "../http1-head.ts";
import {
  defaultWindow,
  Frame,
  frameHeadBytes,
  Http2Error,
  maxFrameBytes,
  maxWindow,
  readUint32,
  Setting,
  writeFrameHead,
  writeUint32,
} from "./frames.ts";
import type { OutBuffer } from "./out-buffer.ts";
import type { Http2Limits } from "./protection.ts";

/** A setting is a number of 16 bits and a value of 32. */
const settingBytes = 6;

/** Until a server says how many streams it takes. RFC 9113 §6.5.2 advises against less. */
const presumedStreams = 100;

/** RFC 9113 §6.5.2: larger frames are not even expressible. */
const largestFrameBytes = 0xff_ffff;

export class PeerSettings {
  tableBytes = 4096;
  maxConcurrentStreams: number = presumedStreams;
  initialWindow: number = defaultWindow;
  /** Extended CONNECT (RFC 8441 §3). */
  allowsConnectProtocol = false;
  readonly #isServer: boolean;

  /** `isServer`: it is a server whose settings these are. */
  constructor(isServer: boolean) {
    this.#isServer = isServer;
  }

  /** Takes what `bytes[start, end)` says. Answers 0, or the code of the error that the connection ends with. */
  read(bytes: Buffer, start: number, end: number): number {
    if ((end - start) % settingBytes !== 0) return Http2Error.frameSize;
    for (let at = start; at < end; at += settingBytes) {
      const id = ((bytes[at] as number) << 8) | (bytes[at + 1] as number);
      const error = this.#take(id, readUint32(bytes, at + 2));
      if (error !== 0) return error;
    }
    return 0;
  }

  #take(id: number, value: number): number {
    switch (id) {
      case Setting.headerTableSize:
        this.tableBytes = value;
        return 0;
      case Setting.enablePush:
        return value > (this.#isServer ? 0 : 1) ? Http2Error.protocol : 0;
      case Setting.maxConcurrentStreams:
        this.maxConcurrentStreams = value;
        return 0;
      case Setting.initialWindowSize:
        this.initialWindow = value;
        return value > maxWindow ? Http2Error.flowControl : 0;
      case Setting.maxFrameSize:
        return value < maxFrameBytes || value > largestFrameBytes ? Http2Error.protocol : 0;
      case Setting.enableConnectProtocol:
        // RFC 8441 §3: it cannot be taken back.
        if (value > 1 || (this.allowsConnectProtocol && value === 0)) return Http2Error.protocol;
        this.allowsConnectProtocol = value === 1;
        return 0;
      default:
        return 0;
    }
  }
}

/** Writes our SETTINGS, and the WINDOW_UPDATE that makes the connection's window what it is to be. */
export function writeFirstFrames(out: OutBuffer, limits: Http2Limits, isServer: boolean): void {
  const settings: readonly (readonly [number, number])[] = [
    isServer
      ? [Setting.maxConcurrentStreams, limits.maxConcurrentStreams]
      : [Setting.enablePush, 0],
    [Setting.initialWindowSize, limits.streamWindowBytes],
    [Setting.maxHeaderListSize, maxHeadBytes],
    ...(isServer ? [[Setting.enableConnectProtocol, 1] as const] : []),
  ];
  const length = settings.length * settingBytes;
  out.reserve(2 * frameHeadBytes + length + 4);
  const { bytes } = out;
  let at = writeFrameHead(bytes, out.end, length, Frame.settings, 0, 0);
  for (const [id, value] of settings) {
    bytes[at] = id >>> 8;
    bytes[at + 1] = id;
    at = writeUint32(bytes, at + 2, value);
  }
  at = writeFrameHead(bytes, at, 4, Frame.windowUpdate, 0, 0);
  out.end = writeUint32(bytes, at, limits.connectionWindowBytes - defaultWindow);
}
