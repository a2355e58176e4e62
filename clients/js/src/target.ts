/** An event target that knows when its listeners have finished. */

type Listener = EventListenerOrEventListenerObject;

/** An event that is being told: `pending` is called with what its listeners have not finished. */
type Told = Event & { pending?: (promise: PromiseLike<unknown>) => void };

/** What is called in the place of a listener. */
const steads = new WeakMap<Listener, EventListener>();

export class Target extends EventTarget {
  override addEventListener(type: string, listener: Listener | null, options?: boolean | AddEventListenerOptions): void {
    if (listener && !steads.has(listener)) {
      steads.set(listener, (event: Told) => {
        const result: any =
          typeof listener === 'function' ? listener.call(event.currentTarget, event) : listener.handleEvent(event);
        if (result?.then) event.pending?.(result);
      });
    }
    super.addEventListener(type, steads.get(listener!) ?? listener, options);
  }

  override removeEventListener(type: string, listener: Listener | null, options?: boolean | EventListenerOptions): void {
    // Platforms call this themselves, with what they know.
    super.removeEventListener(type, steads.get(listener!) ?? listener, options);
  }
}
