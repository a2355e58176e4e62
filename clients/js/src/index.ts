/** everwire: a WebSocket that survives its connections. */

export { EverwireSocket } from './socket.js';
export type { Data, State } from './client.js';
export type { EverwireEventMap, GapEvent, LostEvent, ResumedEvent } from './events.js';
export type { Asked, Options, Provided, WebSocketConstructor } from './options.js';
export type { Payload } from './frame.js';
export type { Stored } from './session.js';
export type { SessionStore } from './store.js';
