"use strict";

/* The progress picture: each experiment's first score as a dot, the incumbent's score as steps with its interval. */
{
  const GROUPS = [
    { title: "kept", states: ["baseline", "kept", "kept (provisional)"], colour: "--solved", shape: "diamond", size: 11 },
    { title: "refused", states: ["refused", "reverted", "undecided", "crashed"], colour: "--muted", shape: "circle", size: 7 },
    { title: "rolled back", states: ["rolled back"], colour: "--broken", shape: "cross", size: 9 },
    { title: "open", states: ["open"], colour: "--flaky", shape: "ring", size: 8 },
  ];
  const HEIGHT = 300;
  const CROWD = 100;

  autoagent.chart = () => {
    const { el, data } = autoagent;
    const box = el("div", { class: "chart", role: "img", "aria-label": summary(data) });
    const tip = el("div", { class: "tip", hidden: true });
    let plot;
    const draw = () => {
      plot?.destroy();
      if (!box.isConnected || box.clientWidth < 50) return;
      plot = new uPlot(options(box, tip), series(data), box);
      plot.over.append(tip);
    };
    autoagent.whenShown(box, draw);
    return el("div", {}, legend(), box);
  };

  const summary = (data) =>
    `Score over ${data.experiments.length} experiments; ${data.reigns.length} times a harness became the incumbent. The same is in the list below.`;

  const rate = (score) => (score && score.trials ? (100 * score.passed) / score.trials : null);

  const dot = (one) => rate(one.door ?? one.score);

  const series = (data) => {
    const x = [...data.experiments.map((one) => one.n), data.experiments.length - 0.5];
    const reigning = x.map((at) => data.reigns.findLast(([, newest]) => newest <= at)?.[0]);
    const steps = reigning.map((n) => (n === undefined ? null : data.experiments[n].interval) ?? [null, null, null]);
    const dots = GROUPS.map(({ states }) => [...data.experiments.map((one) => (states.includes(one.status) ? dot(one) : null)), null]);
    return [x, steps.map(([points]) => points), steps.map(([, low]) => low), steps.map(([, , high]) => high), ...dots];
  };

  const options = (box, tip) => {
    const { data } = autoagent;
    const colour = colours(box);
    const line = { stroke: colour("--grid"), width: 1 };
    const axis = { stroke: colour("--quiet"), grid: line, ticks: { ...line, size: 4 }, font: "12px system-ui, sans-serif" };
    const stepped = uPlot.paths.stepped({ align: 1 });
    const bound = { stroke: "transparent", paths: stepped, points: { show: false } };
    return {
      width: box.clientWidth,
      height: HEIGHT,
      padding: [12, 12, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false }, bind: { click: (u) => () => open(u.cursor.idx) } },
      scales: { x: { time: false, range: [-0.5, Math.max(1, data.experiments.length - 0.5)] }, y: { range: (_u, low, high) => [Math.max(-2, Math.floor(low / 10 - 0.4) * 10), Math.min(102, Math.ceil(high / 10 + 0.4) * 10)] } },
      axes: [
        { ...axis, size: 30, grid: { show: false }, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] },
        { ...axis, size: 52, values: (_u, ticks) => ticks.map((tick) => `${tick} %`) },
      ],
      bands: [{ series: [3, 2], fill: colour("--band") }],
      series: [
        {},
        { stroke: colour("--accent"), width: 2.5, paths: stepped, points: { show: false } },
        bound,
        bound,
        ...GROUPS.map((group) => ({ paths: () => null, points: points(group, colour(group.colour)) })),
      ],
      hooks: { setCursor: [(u) => tell(u, tip)], draw: [(u) => number(u, colour)] },
    };
  };

  /* The page's colours as the canvas takes them: resolved for light or dark. */
  const colours = (box) => (name) => {
    box.style.color = `var(${name})`;
    const found = getComputedStyle(box).color;
    box.style.color = "";
    return found;
  };

  const points = (group, colour) => ({ show: true, stroke: colour, fill: group.shape === "ring" ? "transparent" : colour, width: 2, paths: shape(group) });

  /* Shapes differ besides colours. */
  const shape = ({ shape: kind, size }) => (u, place, from, to) => {
    const path = new Path2D();
    const r = (size * devicePixelRatio * (to - from > CROWD ? 0.7 : 1)) / 2;
    for (let i = from; i <= to; i++) {
      if (u.data[place][i] == null) continue;
      const x = u.valToPos(u.data[0][i], "x", true), y = u.valToPos(u.data[place][i], "y", true);
      if (kind === "diamond") polygon(path, [[x, y - r], [x + r, y], [x, y + r], [x - r, y]]);
      else if (kind === "cross") for (const s of [1, -1]) path.moveTo(x - r, y - s * r), path.lineTo(x + r, y + s * r);
      else path.moveTo(x + r, y), path.arc(x, y, r, 0, 2 * Math.PI);
    }
    return { stroke: path, fill: path, flags: 3 };
  };

  const polygon = (path, points) => {
    points.forEach(([x, y], place) => (place ? path.lineTo(x, y) : path.moveTo(x, y)));
    path.closePath();
  };

  /* Write the number of what was kept beside its step. */
  const number = (u, colour) => {
    const { ctx } = u;
    ctx.save();
    ctx.font = `600 ${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.fillStyle = colour("--text");
    ctx.strokeStyle = colour("--card");
    ctx.lineWidth = 4 * devicePixelRatio;
    ctx.lineJoin = "round";
    ctx.textAlign = "center";
    let last = -Infinity;
    for (const [n, newest] of autoagent.data.reigns) {
      const value = rate(autoagent.data.experiments[n].score);
      const x = u.valToPos(newest, "x", true);
      if (value === null || x - last < 44 * devicePixelRatio) continue;
      last = x;
      const text = n === autoagent.data.baseline ? "baseline" : `#${n}`;
      const place = [Math.max(x, u.bbox.left + 26 * devicePixelRatio), u.valToPos(value, "y", true) - 13 * devicePixelRatio];
      ctx.strokeText(text, ...place);
      ctx.fillText(text, ...place);
    }
    ctx.restore();
  };

  const open = (place) => {
    if (place !== null && autoagent.data.experiments[place]) location.hash = autoagent.href("experiments", place);
    return false;
  };

  const tell = (u, tip) => {
    const { el, format, data } = autoagent;
    const one = data.experiments[u.cursor.idx ?? -1];
    tip.hidden = !one || u.cursor.left < 0;
    if (tip.hidden) return;
    tip.replaceChildren(
      el("strong", {}, `#${one.n} ${one.status}`),
      el("span", {}, one.description.slice(0, 140)),
      el("span", { class: "quiet" }, one.door ? `First run: ${format.passed(one.door)} passed` : "No whole run"),
    );
    const left = u.valToPos(one.n, "x");
    tip.classList.toggle("before", left > u.over.clientWidth / 2);
    tip.style.setProperty("--left", `${left}px`);
  };

  const legend = () => {
    const { el } = autoagent;
    return el(
      "p",
      { class: "legend" },
      el("span", {}, el("i", { class: "key level" }), "incumbent's score, 95 % interval"),
      GROUPS.map((group) => el("span", {}, el("i", { class: `key ${group.shape}`, css: { "--key": `var(${group.colour})` } }), `${group.title}: first run`)),
    );
  };
}
