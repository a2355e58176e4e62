/** A server, a net and a client for one test, in virtual time. */

import { vi } from 'vitest';
import type { Options } from '../src/options.js';
import { Net } from './net.js';
import { ReferenceServer } from './server.js';
import { EverwireSocket } from './subject.js';

let worlds = 0;

export interface World {
  server: ReferenceServer;
  net: Net;
  socket: InstanceType<typeof EverwireSocket>;
  /** Everything that the socket tells, in short. */
  log: string[];
  url: string;
  another(options?: Options): World;
}

const NAMES = ['open', 'message', 'error', 'close', 'detached', 'resumed', 'gap', 'lost'] as const;

function short(event: any): string {
  switch (event.type) {
    case 'message':
      return `message ${typeof event.data === 'string' ? event.data : Object.prototype.toString.call(event.data)}`;
    case 'close':
      return `close ${event.code} ${event.reason} ${event.wasClean}`;
    case 'resumed':
      return event.fresh ? 'resumed, fresh' : 'resumed';
    case 'gap':
      return `gap ${event.direction} ${event.from}-${event.to} ${event.reason}`;
    case 'lost':
      return `lost [${event.unacknowledged}]`;
    default:
      return event.type;
  }
}

/** Each world has a URL of its own, because verdicts about URLs are remembered. */
export function world(options: Options & { source?: any } = {}, net?: Net, url = `ws://server-${++worlds}/chat`): World {
  net ??= new Net(new ReferenceServer());
  const { server } = net;
  setInterval(() => server.sessions.forEach((session) => session.ping()), server.config.heartbeat);
  const { source, ...rest } = options;
  const socket = new EverwireSocket(source ?? url, { WebSocket: net.WebSocket, ...rest });
  const log: string[] = [];
  for (const name of NAMES) socket.addEventListener(name, (event: Event) => void log.push(short(event)));
  return { server, net, socket, log, url, another: (options = {}) => world(options, net, url) };
}

export const wait = (ms: number) => vi.advanceTimersByTimeAsync(ms);
