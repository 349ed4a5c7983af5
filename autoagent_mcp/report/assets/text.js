"use strict";

/* Long text in parts: what is not asked for is not laid out, so that 5 MB of output cost no more than 5 kB. */
{
  const FIRST = 4_000;
  const MORE = 40_000;

  autoagent.text = (text, { first = FIRST, kind = "" } = {}) => {
    const { el, format } = autoagent;
    const box = el("div", { class: `text ${kind}` });
    const part = (from, to) => el("pre", {}, text.slice(from, to));
    let shown = text.length <= first * 1.2 ? text.length : first;
    box.append(part(0, shown));
    if (shown === text.length) return box;

    const told = el("span", { class: "quiet" });
    const more = el("button", { type: "button", onclick: () => show(shown, Math.min(text.length, shown + MORE)) }, "Show more");
    const end = el("button", { type: "button", onclick: () => showEnd() }, "Show the end");
    const bar = el("div", { class: "more" }, more, end, told);
    const tell = () => {
      told.textContent = `${format.count(shown)} of ${format.count(text.length)} characters`;
      if (shown === text.length) bar.remove();
    };
    const show = (from, to) => {
      bar.before(part(from, to));
      shown = to;
      tell();
    };
    const showEnd = () => {
      bar.after(el("p", { class: "quiet" }, "The end:"), part(Math.max(shown, text.length - MORE), text.length));
      end.remove();
    };
    box.append(bar);
    tell();
    return box;
  };
}
