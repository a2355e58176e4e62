/** An event target that knows when its listeners have finished. */

type Listener = EventListenerOrEventListenerObject;

/** An event that is being told, and what its listeners have not finished. */
type Told = Event & { pending?: (promise: PromiseLike<unknown>) => void };

export class Target extends EventTarget {
  /** What is called in the place of a listener. */
  #stead = new WeakMap<Listener, EventListener>();

  override addEventListener(type: string, listener: Listener | null, options?: boolean | AddEventListenerOptions): void {
    if (listener && !this.#stead.has(listener)) {
      this.#stead.set(listener, (event: Told) => {
        const result: any = typeof listener === 'function' ? listener.call(this, event) : listener.handleEvent(event);
        if (result?.then) event.pending?.(result);
      });
    }
    super.addEventListener(type, listener && this.#stead.get(listener)!, options);
  }

  override removeEventListener(type: string, listener: Listener | null, options?: boolean | EventListenerOptions): void {
    // Platforms call this themselves, with what they know.
    super.removeEventListener(type, this.#stead.get(listener!) ?? listener, options);
  }

  /** Tells an event with these properties, and calls `finished` when all promises of its listeners have settled. */
  protected tell(type: string, properties?: object, finished?: () => void): void {
    let left = 1;
    const settled = () => --left || finished?.();
    const pending = (promise: PromiseLike<unknown>) => {
      left++;
      // What is rejected stays unhandled, and is reported as such.
      void Promise.resolve(promise).finally(settled);
    };
    this.dispatchEvent(Object.assign(new Event(type), properties, { pending }));
    settled();
  }
}
