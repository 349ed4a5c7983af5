"use strict";

/* Everything that the page's scripts share hangs on this name. */
const autoagent = {};

/* Make an element. Children that are no nodes become text, never markup: much of it came out of a sandbox. */
autoagent.el = (tag, attributes = {}, ...children) => {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "css") for (const [key, one] of Object.entries(value)) element.style.setProperty(key, one);
    else element.setAttribute(name, value === true ? "" : value);
  }
  autoagent.add(element, ...children);
  return element;
};

autoagent.add = (element, ...children) => {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false || child === "") continue;
    element.append(child instanceof Node ? child : autoagent.clean(String(child)));
  }
  return element;
};

const ESCAPES = /\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])/g;
const INVISIBLE = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]|\udb40[\udc00-\udc7f]/g;

/* Take out terminal escapes and what cannot be seen or turns the direction of what can. */
autoagent.clean = (text) => text.replace(/\r\n/g, "\n").replace(ESCAPES, "").replace(INVISIBLE, "");

autoagent.link = (route, ...children) => autoagent.el("a", { href: autoagent.href(...route) }, ...children);

autoagent.href = (...parts) => "#/" + parts.map((part) => encodeURIComponent(part)).join("/");

autoagent.section = (title, ...children) =>
  autoagent.el("section", {}, autoagent.el("h2", {}, title), ...children);

/* A list of terms and what they are; what is empty is left out. */
autoagent.facts = (pairs) =>
  autoagent.el(
    "dl",
    { class: "facts" },
    pairs
      .filter(([, value]) => value !== undefined && value !== null && value !== "" && value !== false)
      .map(([term, value]) =>
        autoagent.el("div", {}, autoagent.el("dt", {}, term), autoagent.el("dd", {}, value))),
  );
