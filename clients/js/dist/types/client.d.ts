/** Opens WebSockets for a session, or for a plain connection, and tells the application what becomes of them. */
import type { EverwireEventMap } from './events.js';
import type { Options, Provided } from './options.js';
export type Data = string | ArrayBufferLike | ArrayBufferView | Blob;
export type State = 'connecting' | 'attached' | 'detached' | 'plain' | 'closed';
/** Tells the application, and calls `finished` when its listeners are. */
type Dispatch = (type: keyof EverwireEventMap, properties?: object, finished?: () => void) => void;
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
    /** How binary messages are handed out. */
    binaryType: BinaryType;
    readonly extensions: string;
}
export interface Client {
    /** Each is asked without an argument, and with one to set it, which is in vain where that is not possible. */
    readonly view: {
        [K in keyof View]: (value?: any) => View[K];
    };
    send(data: Data, volatile: boolean): void;
    close(code?: number, reason?: string): void;
}
export declare function createClient(source: Provided<string | URL>, options: Options, dispatch: Dispatch): Client;
export {};
