// The server's events, with reconnection.

/** The first pause before another try, and the longest, in ms. */
const firstPause = 500;
const longestPause = 5000;
/** Silence after which a connection is taken for lost, in ms: the server says something every second. */
const patience = 6000;

export interface Handlers {
  hello: (data: string) => void;
  tick: (data: string) => void;
  state: (state: "live" | "lost", tries: number) => void;
}

/** follow keeps a connection to the server's events for as long as the page lives. */
export function follow(url: string, on: Handlers): void {
  let tries = 0;
  let source: EventSource | undefined;
  let watchdog = 0;

  const open = () => {
    const s = new EventSource(url);
    source = s;
    alive();
    const heard = (handle: (data: string) => void) => (e: MessageEvent<string>) => {
      if (s !== source) return;
      alive();
      tries = 0;
      on.state("live", 0);
      handle(e.data);
    };
    s.addEventListener("hello", heard(on.hello));
    s.addEventListener("tick", heard(on.tick));
    s.addEventListener("error", () => s === source && lost());
  };
  const alive = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(lost, patience);
  };
  const lost = () => {
    clearTimeout(watchdog);
    source?.close();
    source = undefined;
    tries++;
    on.state("lost", tries);
    setTimeout(open, Math.min(longestPause, firstPause * 2 ** Math.min(tries - 1, 10)));
  };
  open();
}
