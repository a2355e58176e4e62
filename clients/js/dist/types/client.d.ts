/** Opens WebSockets for a session, or for a plain connection, and tells the application what becomes of them. */
import type { EverwireEventMap } from './events.js';
import type { Options, Provided } from './options.js';
export type Data = string | ArrayBufferLike | ArrayBufferView | Blob;
export type State = 'connecting' | 'attached' | 'detached' | 'plain' | 'closed';
/** Tells the application, and returns what it has not finished. */
type Dispatch = (type: keyof EverwireEventMap, properties?: Record<string, unknown>) => Promise<unknown>[];
export interface Client {
    readonly url: string;
    readonly readyState: number;
    readonly protocol: string;
    readonly state: State;
    readonly rtt: number | undefined;
    readonly bufferedAmount: number;
    send(data: Data, volatile: boolean): void;
    close(code?: number, reason?: string): void;
}
export declare function createClient(source: Provided<string | URL>, options: Options, dispatch: Dispatch): Client;
export {};
