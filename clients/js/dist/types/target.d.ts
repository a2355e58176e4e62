/** An event target that knows when its listeners have finished. */
type Listener = EventListenerOrEventListenerObject;
export declare class Target extends EventTarget {
    addEventListener(type: string, listener: Listener | null, options?: boolean | AddEventListenerOptions): void;
    removeEventListener(type: string, listener: Listener | null, options?: boolean | EventListenerOptions): void;
}
/** Returns what tells `target` an event, and calls `finished` when all promises of its listeners have settled. */
export declare const createTeller: (target: EventTarget) => (type: string, properties?: object, finished?: () => void) => void;
export {};
