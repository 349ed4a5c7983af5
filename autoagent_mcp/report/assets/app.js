"use strict";

/* The frame: which view is shown, the keys, light and dark. */
{
  const { el } = autoagent;
  const VIEWS = { "": () => autoagent.overview(), tasks: () => autoagent.matrix(), cost: () => autoagent.cost(), trial: (...at) => autoagent.trial(...at), compare: (...at) => autoagent.compare(...at), experiments: (n) => (n === undefined ? autoagent.experiments() : autoagent.experiment(n)) };
  const TABS = [["", "Overview"], ["tasks", "Tasks"], ["experiments", "Experiments"], ["cost", "Cost"]];
  const TITLES = { trial: "tasks", compare: "tasks" };
  const THEMES = ["auto", "light", "dark"];
  let redraw = [];
  let memory = new Map();

  /* Return what a view remembers while it is shown, also when it is drawn anew. */
  autoagent.memory = (name, initial) => {
    if (!memory.has(name)) memory.set(name, initial);
    return memory.get(name);
  };

  /* Draw once the element is on the page, and again when its width or the colours change. */
  autoagent.whenShown = (element, draw) => {
    redraw.push(draw);
    new ResizeObserver(draw).observe(element);
  };

  const main = el("main", { id: "main", tabindex: "-1" });
  const tabs = TABS.map(([name, title]) => el("a", { href: autoagent.href(name) }, title));

  const route = () => location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);

  const show = () => {
    memory = new Map();
    draw();
    scrollTo(0, 0);
  };

  const draw = () => {
    const [name = "", ...rest] = route();
    redraw = [];
    main.replaceChildren((VIEWS[name] ?? (() => el("p", { class: "lead" }, "There is no such page.")))(...rest));
    tabs.forEach((tab, place) => (TABS[place][0] === (TITLES[name] ?? name) ? tab.setAttribute("aria-current", "page") : tab.removeAttribute("aria-current")));
    document.title = [main.querySelector("h1")?.textContent, autoagent.data.workspace].filter(Boolean).join(" – ");
    written.textContent = about();
  };

  const theme = el("button", { type: "button", class: "theme", onclick: () => turn(), title: "Light or dark ( t )" });
  let chosen = "auto";
  const turn = (to = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length]) => {
    chosen = to;
    document.documentElement.dataset.theme = to;
    theme.textContent = { auto: "◐ auto", light: "○ light", dark: "● dark" }[to];
    redraw.forEach((draw) => draw());
  };

  const keys = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const tab = tabs[Number(event.key) - 1];
    if (tab) tab.click();
    else if (event.key === "/") event.preventDefault(), main.querySelector("input[type=search]")?.focus();
    else if (event.key === "t") turn();
    else if (!event.target.closest("td, .scroll, .diff")) main.querySelector(`a[data-key="${CSS.escape(event.key)}"]`)?.click();
  };

  const written = el("p");
  const about = () => {
    const { data, format } = autoagent;
    return [`${autoagent.follow ? "As of" : "Written"} ${format.time(data.written_at)} by autoagent-mcp ${data.server_version}`, data.model && `model ${data.model}`, data.backend && `sandboxes by ${data.backend}`].filter(Boolean).join(" · ");
  };

  const frame = () => {
    const { data } = autoagent;
    return [
      el("a", { class: "skip", href: "#main", onclick: (event) => (event.preventDefault(), main.focus()) }, "To the content"),
      el(
        "header",
        { class: "top" },
        el("a", { class: "name", href: autoagent.href("") }, data.workspace),
        el("nav", { "aria-label": "Views" }, tabs),
        autoagent.follow && connection,
        theme,
      ),
      main,
      el(
        "footer",
        {},
        written,
        el("p", {}, "Keys: 1 to 4 views, / search, ← → experiments and cells, Enter open, t light or dark. What models and sandboxes said is shown as text, without escapes and what cannot be seen."),
      ),
    ];
  };

  const say = (text) => document.getElementById("app").replaceChildren(el("p", { class: "lead" }, text));

  const begin = () => {
    document.getElementById("app").replaceChildren(...frame());
    addEventListener("hashchange", show);
    addEventListener("keydown", keys);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw.forEach((draw) => draw()));
    show();
  };

  const isBegun = () => main.isConnected;
  const connection = el("span", { class: "connection", role: "status" });
  let isStale = false;

  const update = (data) => {
    if (data.waiting) return isBegun() || say(data.waiting);
    autoagent.take(data);
    if (isBegun()) isStale = true;
    else begin();
  };

  /* Show what came, but not while a text is being selected; a trial that is looked at does not change. */
  const tell = (isThere, error) => {
    if (!isBegun()) return isThere || say(error.message);
    const said = isThere ? "● live" : "○ no answer";
    if (connection.textContent !== said) connection.textContent = said;
    if (!isStale || !getSelection().isCollapsed) return;
    isStale = false;
    if (!["trial", "compare"].includes(route()[0])) autoagent.redrawn(main, draw);
  };

  const start = async () => {
    turn("auto");
    if (autoagent.follow) return autoagent.follow(update, tell);
    try {
      autoagent.take(await autoagent.load());
    } catch (error) {
      return say(`This page's data cannot be read: ${error.message}`);
    }
    begin();
  };

  start();
}
