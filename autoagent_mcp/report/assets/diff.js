"use strict";

/* A diff as it came: lines with their numbers and coloured pieces; many lines are shown in parts. */
{
  const SHOWN = 400;
  const SIGNS = { "+": "added", "-": "removed", "@": "gap", " ": "same" };

  autoagent.diff = (files) => {
    const { el } = autoagent;
    if (!files) return el("p", { class: "quiet" }, "What this changes cannot be shown: git does not have it any more, or could not be read.");
    if (!files.length) return el("p", { class: "quiet" }, "Nothing but comments or layout differs.");
    return el("div", { class: "diffs" }, files.map(file));
  };

  const file = ({ path, what, lines, note }) => {
    const { el, format } = autoagent;
    const count = (sign) => lines.filter((line) => line[0] === sign).length;
    const body = el("div", { class: "diff", role: "group", "aria-label": `Diff of ${path}`, tabindex: "0" });
    const show = (from) => {
      body.append(...lines.slice(from, from + SHOWN).map(line));
      if (from + SHOWN < lines.length) {
        const more = el("button", { type: "button", onclick: () => (more.remove(), show(from + SHOWN)) }, `Show ${format.count(lines.length - from - SHOWN)} more lines`);
        body.append(more);
      }
    };
    show(0);
    return el(
      "div",
      { class: "file" },
      el(
        "h3",
        {},
        el("code", {}, path),
        what !== "changed" && el("span", { class: "tag" }, what),
        el("span", { class: "plus" }, `+${count("+")}`),
        el("span", { class: "minus" }, `−${count("-")}`),
      ),
      note && el("p", { class: "quiet" }, note),
      lines.length > 0 && body,
    );
  };

  const line = ([sign, before, now, pieces]) => {
    const { el } = autoagent;
    if (sign === "@") return el("div", { class: "line gap" }, el("i", {}), el("i", {}), el("b", {}, ""), el("code", {}, `line ${now}`));
    return el(
      "div",
      { class: `line ${SIGNS[sign]}` },
      el("i", {}, before || " "),
      el("i", {}, now || " "),
      el("b", {}, sign === "-" ? "−" : sign),
      el("code", {}, pieces.map((piece) => (typeof piece === "string" ? piece : el("span", { class: `c-${piece[0]}` }, piece[1])))),
    );
  };
}
