/** What an EverwireSocket tells. */
import type { Payload } from './frame.js';
/** Messages of one direction that will not come. */
export interface GapEvent extends Event {
    readonly direction: 'in' | 'out';
    readonly from: number;
    readonly to: number;
    readonly reason: 'evicted-bytes' | 'evicted-age' | 'conflated' | 'restart' | 'oversize';
}
/** The other end has forgotten this one. What it had not acknowledged is handed back. */
export interface LostEvent extends Event {
    /** With which the server ended it, if it did. */
    readonly code?: number;
    readonly reason?: string;
    readonly unacknowledged: Payload[];
}
/** Attached again. */
export interface ResumedEvent extends Event {
    /** The other end is a new one, that knows nothing of before. */
    readonly fresh: boolean;
}
export interface EverwireEventMap {
    open: Event;
    message: MessageEvent;
    error: Event & {
        readonly error?: unknown;
    };
    close: CloseEvent & {
        readonly unacknowledged: Payload[];
    };
    detached: Event;
    resumed: ResumedEvent;
    gap: GapEvent;
    lost: LostEvent;
}
export declare const EVENTS: (keyof EverwireEventMap)[];
type Handler<K extends keyof EverwireEventMap> = ((event: EverwireEventMap[K]) => unknown) | null;
/** The handler attributes. */
export interface Handlers extends Record<'onopen' | 'ondetached', Handler<'open'>> {
    onmessage: Handler<'message'>;
    onerror: Handler<'error'>;
    onresumed: Handler<'resumed'>;
    ongap: Handler<'gap'>;
    onlost: Handler<'lost'>;
    /** As it is read, it is one of a WebSocket: such a one knows nothing of what is more here. */
    get onclose(): ((event: any) => unknown) | null;
    set onclose(handler: Handler<'close'>);
}
export {};
