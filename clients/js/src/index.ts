/** everwire: a WebSocket that survives its connections. */

export { EverwireSocket } from './socket.js';
export type { Data, EverwireEventMap, GapEvent, LostEvent, ResumedEvent, State } from './socket.js';
export type { Asked, Options, Provided, WebSocketConstructor } from './options.js';
export type { SessionStorage } from './tab.js';
