/** An event target that knows when its listeners have finished. */

type Listener = EventListenerOrEventListenerObject;

export class Target extends EventTarget {
  /** What is called in the place of a listener. */
  #stead = new WeakMap<Listener, EventListener>();
  /** What the listeners of the event that is being told have not finished. */
  #pending: PromiseLike<unknown>[] = [];

  override addEventListener(type: string, listener: Listener | null, options?: boolean | AddEventListenerOptions): void {
    if (listener && !this.#stead.has(listener)) {
      this.#stead.set(listener, (event) => {
        const result: any = typeof listener === 'function' ? listener.call(this, event) : listener.handleEvent(event);
        if (result?.then) this.#pending.push(result);
      });
    }
    super.addEventListener(type, listener && this.#stead.get(listener)!, options);
  }

  override removeEventListener(type: string, listener: Listener | null, options?: boolean | EventListenerOptions): void {
    // Platforms call this themselves, with what they know.
    super.removeEventListener(type, this.#stead.get(listener!) ?? listener, options);
  }

  /** Tells an event with these properties, and calls `finished` when all promises of its listeners have settled. */
  protected tell(type: string, properties: object, finished?: () => void): void {
    this.#pending = [];
    this.dispatchEvent(Object.assign(new Event(type), properties));
    let left = this.#pending.length;
    if (!left) finished?.();
    for (const promise of this.#pending) {
      // What is rejected stays unhandled, and is reported as such.
      void Promise.resolve(promise).finally(() => --left || finished?.());
    }
  }
}
