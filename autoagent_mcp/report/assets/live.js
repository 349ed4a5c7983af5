"use strict";

/* A page from a server asks it every few seconds for what is new. */
{
  const EVERY_MS = 2_000;
  const PATIENCE_MS = 60_000;
  let version = "";

  /* Return the data, or null where there is nothing new. */
  const ask = async () => {
    const response = await fetch("data.json", {
      cache: "no-store",
      headers: version ? { "If-None-Match": version } : {},
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    if (response.status === 304) return null;
    if (!response.ok) throw new Error(`The server answers ${response.status}.`);
    const found = await response.json();
    version = response.headers.get("ETag");
    return found;
  };

  /* Ask as long as somebody looks; `update` is given new data, `tell` each time whether there was an answer. */
  autoagent.follow = (update, tell) => {
    let timer;
    const look = async () => {
      clearTimeout(timer);
      if (document.hidden) return;
      try {
        const found = await ask();
        if (found) update(found);
        tell(true);
      } catch (error) {
        tell(false, error);
      }
      clearTimeout(timer);
      timer = setTimeout(look, EVERY_MS);
    };
    document.addEventListener("visibilitychange", look);
    look();
  };

  /* Draw a view anew under the reader's hands: focus, scrolling and what is unfolded stay as they are. */
  autoagent.redrawn = (main, draw) => {
    const focused = main.contains(document.activeElement) ? document.activeElement : main;
    const path = pathTo(focused, main);
    const caret = focused.selectionStart;
    const unfolded = [...main.querySelectorAll("details")].map((one) => one.open);
    const scrolled = [...main.querySelectorAll(".scroll")].map((one) => [one.scrollLeft, one.scrollTop]);
    const height = scrollY;
    draw();
    main.querySelectorAll("details").forEach((one, place) => (one.open = unfolded[place] ?? one.open));
    main.querySelectorAll(".scroll").forEach((one, place) => ([one.scrollLeft, one.scrollTop] = scrolled[place] ?? [0, 0]));
    scrollTo(0, height);
    const again = path.reduce((one, place) => one?.children[place], main);
    if (again === main || !again) return;
    again.focus({ preventScroll: true });
    if (typeof caret === "number") again.setSelectionRange(caret, caret);
  };

  const pathTo = (element, top) => (element === top ? [] : [...pathTo(element.parentNode, top), [...element.parentNode.children].indexOf(element)]);
}
