/** An event target of our own: what its listeners return is waited for. */
type Listener = EventListenerOrEventListenerObject;
export declare class Target {
    #private;
    addEventListener(type: string, listener: Listener | null, options?: boolean | AddEventListenerOptions): void;
    removeEventListener(type: string, listener: Listener | null | undefined): void;
    dispatchEvent(event: Event): boolean;
    /** Makes an event with these properties, calls everybody, and returns what has not finished. */
    protected tell(type: string, properties: object): Promise<unknown>[];
}
export {};
