/** Opens WebSockets for a session, or for a plain connection, and tells the application what becomes of them. */
import type { EverwireEventMap } from './events.js';
import type { Options, Provided } from './options.js';
export type Data = string | ArrayBufferLike | ArrayBufferView | Blob;
export type State = 'connecting' | 'attached' | 'detached' | 'plain' | 'closed';
/** Tells the application, and calls `finished` when its listeners are. */
type Dispatch = (type: keyof EverwireEventMap, properties?: object, finished?: () => void) => void;
type Present = (bytes: Uint8Array<ArrayBuffer> | ArrayBuffer) => Blob | ArrayBuffer;
/** What an application sees. */
export interface View {
    readonly url: string;
    /** OPEN from the first connection on, also while detached. */
    readonly readyState: number;
    /** The subprotocol of the connection of the moment. */
    readonly protocol: string;
    readonly state: State;
    /** The smoothed round trip in ms, once there is one. */
    readonly rtt: number | undefined;
    /** Payload bytes that the server may still need; on a plain connection, that were not sent. */
    readonly bufferedAmount: number;
}
export interface Client {
    readonly view: View;
    send(data: Data, volatile: boolean): void;
    close(code?: number, reason?: string): void;
}
/** `present` makes of bytes what a message event has. */
export declare function createClient(source: Provided<string | URL>, options: Options, dispatch: Dispatch, present: Present): Client;
export {};
