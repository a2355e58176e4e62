/** An event target that knows when its listeners have finished. */
type Listener = EventListenerOrEventListenerObject;
export declare class Target extends EventTarget {
    #private;
    addEventListener(type: string, listener: Listener | null, options?: boolean | AddEventListenerOptions): void;
    removeEventListener(type: string, listener: Listener | null, options?: boolean | EventListenerOptions): void;
    /** Tells an event with these properties, and calls `finished` when all promises of its listeners have settled. */
    protected tell(type: string, properties?: object, finished?: () => void): void;
}
export {};
