/** An event target that knows when its listeners have finished. */
type Listener = EventListenerOrEventListenerObject;
export declare class Target extends EventTarget {
    addEventListener(type: string, listener: Listener | null, options?: boolean | AddEventListenerOptions): void;
    removeEventListener(type: string, listener: Listener | null, options?: boolean | EventListenerOptions): void;
}
export {};
