"use strict";

/* Numbers for people. A cost that is not known is never 0. */
autoagent.format = {
  percent: (points) => `${points.toFixed(points > 0 && points < 99.95 ? 1 : 0)} %`,
  signed: (points) => `${points >= 0 ? "+" : "−"}${Math.abs(points).toFixed(1)}`,
  interval: ([, low, high]) => `${low.toFixed(1)} to ${high.toFixed(1)}`,
  signedInterval: ([, low, high]) => `${autoagent.format.signed(low)} to ${autoagent.format.signed(high)}`,
  cost: (usd) => (usd === null || usd === undefined ? "unknown" : usd >= 0.995 || usd === 0 ? `$${usd.toFixed(2)}` : `$${usd.toPrecision(2)}`),
  spent: (spent) =>
    spent.is_cost_known ? autoagent.format.cost(spent.cost_usd)
      : spent.cost_usd > 0 ? `${autoagent.format.cost(spent.cost_usd)} + unknown` : "unknown",
  count: (number) => Math.round(number).toLocaleString("en"),
  short: (number) =>
    number >= 1e6 ? `${(number / 1e6).toFixed(1)} M` : number >= 1e4 ? `${(number / 1e3).toFixed(0)} k` : String(Math.round(number)),
  duration: (sec) =>
    sec < 0.0095 ? "0 s" : sec < 9.95 ? `${sec.toFixed(sec < 0.95 ? 2 : 1)} s` : sec < 120 ? `${Math.round(sec)} s`
      : sec < 7200 ? `${Math.round(sec / 60)} min` : `${(sec / 3600).toFixed(1)} h`,
  bytes: (count) => (count < 1000 ? `${count} B` : count < 1e6 ? `${(count / 1e3).toFixed(1)} kB` : `${(count / 1e6).toFixed(1)} MB`),
  time: (iso) => (iso ? new Date(iso).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" }) : ""),
  plural: (count, word) => `${autoagent.format.count(count)} ${word}${count === 1 ? "" : "s"}`,
  passed: (score) => (score ? `${score.passed}/${score.trials}` : ""),
};
