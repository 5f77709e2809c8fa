// A job as it goes: how far it is, the best so far, and what the same search found where there is no edge.
function numbers(view) {
  if (!view) return new Float32Array(0);
  return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength)); // may be unaligned
}
const SVG = "http://www.w3.org/2000/svg";
function draw(tag, attributes = {}, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}
const short = (v) => (Math.abs(v) >= 1000 ? v.toLocaleString("en-US", { maximumFractionDigits: 0 }) : Number(v.toPrecision(3)).toString()).replace("-", "−");

const W = 460, H = 220, LEFT = 48, RIGHT = 12, TOP = 12, BOTTOM = 30;
function frame(low, high, first, last) {
  const svg = draw("svg", { viewBox: `0 0 ${W} ${H}`, role: "img" });
  const x = (v) => LEFT + ((v - first) / (last - first || 1)) * (W - LEFT - RIGHT);
  const y = (v) => H - BOTTOM - ((v - low) / (high - low || 1)) * (H - TOP - BOTTOM);
  for (let k = 0; k < 4; k++) {
    const value = low + ((high - low) * k) / 3;
    svg.append(draw("line", { class: "rule", x1: LEFT, x2: W - RIGHT, y1: y(value), y2: y(value) }));
    svg.append(draw("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, short(value)));
  }
  for (const value of [first, (first + last) / 2, last]) {
    const anchor = value === first ? "start" : value === last ? "end" : "middle";
    svg.append(draw("text", { x: x(value), y: H - 12, "text-anchor": anchor }, short(value)));
  }
  return { svg, x, y };
}

function convergence(best, metric) {
  const known = [];
  best.forEach((v, i) => { if (Number.isFinite(v)) known.push([i + 1, v]); });
  if (!known.length) return element("p", "empty", best.length ? "no trial has a figure yet" : "no trial yet");
  const low = known[0][1], high = known[known.length - 1][1], room = 0.08 * Math.abs(high - low) || 0.1;
  const { svg, x, y } = frame(Math.min(low, high) - room, Math.max(low, high) + room, 1, Math.max(best.length, 2));
  let path = `M${x(known[0][0])},${y(known[0][1])}`;
  for (let i = 1; i < known.length; i++) {
    if (known[i][1] !== known[i - 1][1] || i === known.length - 1) path += `H${x(known[i][0])}V${y(known[i][1])}`;
  }
  svg.append(draw("path", { class: "curve", d: path }));
  const title = `${metric}, best of ${best.length.toLocaleString("en-US")} trials: ${short(high)}`;
  svg.append(draw("title", {}, title));
  return pane(title, svg);
}

function distribution(nulls) {
  const kinds = nulls.kinds.map((kind) => ({ ...kind, scores: numbers(kind.scores).filter(Number.isFinite) }));
  const all = kinds.flatMap((kind) => Array.from(kind.scores));
  if (!all.length) return element("p", "empty", "no market without an edge drawn yet");
  const values = Number.isFinite(nulls.real) ? [...all, nulls.real] : all, bins = 28;
  const first = Math.min(...values), last = Math.max(...values), width = (last - first || 1) / bins;
  const counts = kinds.map((kind) => {
    const count = new Array(bins).fill(0);
    kind.scores.forEach((v) => { count[Math.min(bins - 1, Math.floor((v - first) / width))] += 1; });
    return count;
  });
  const most = Math.max(1, ...counts.flat()), { svg, x, y } = frame(0, most, first, last || first + 1);
  counts.forEach((count, k) => count.forEach((n, i) => {
    if (!n) return;
    const left = x(first + i * width), wide = (x(first + width) - x(first)) / 2;
    svg.append(draw("rect", { class: `null${k}`, x: left + k * wide, width: Math.max(wide - 0.5, 0.5), y: y(n), height: y(0) - y(n) }));
  }));
  if (Number.isFinite(nulls.real)) {
    svg.append(draw("line", { class: "real", x1: x(nulls.real), x2: x(nulls.real), y1: TOP, y2: y(0) }));
    const end = x(nulls.real) > W / 2;
    svg.append(draw("text", { class: "realtext", x: x(nulls.real) + (end ? -5 : 5), y: TOP + 10, "text-anchor": end ? "end" : "start" }, `found: ${short(nulls.real)}`));
  }
  const beaten = all.filter((v) => v >= nulls.real).length;
  const title = `${all.length.toLocaleString("en-US")} markets without an edge, ${beaten.toLocaleString("en-US")} did as well`;
  const made = pane(title, svg), key = element("p", "key");
  kinds.forEach((kind, k) => key.append(element("span", `swatch null${k}`), element("span", "", `${kind.name} ${kind.scores.length.toLocaleString("en-US")}  `)));
  made.append(key);
  return made;
}

function pane(title, svg) {
  const made = element("figure");
  made.append(element("figcaption", "", title), svg);
  return made;
}

function render({ model, el }) {
  const root = element("div", "qll"), head = element("header"), name = element("b"), status = element("span", "status");
  const bar = element("div", "bar"), done = element("div", "done"), told = element("p", "told"), panes = element("div", "panes");
  bar.append(done);
  head.append(name, status);
  root.append(head, bar, told, panes);
  el.append(root);
  const dark = () => {
    const theme = document.body.dataset.jpThemeLight;
    const is = theme !== undefined ? theme === "false" : document.body.classList.contains("vscode-dark") || matchMedia("(prefers-color-scheme: dark)").matches;
    root.classList.toggle("dark", is);
  };
  const paint = () => {
    const state = model.get("state"), curve = model.get("curve"), nulls = model.get("nulls"), best = numbers(curve.best);
    name.textContent = state.title ?? "";
    status.textContent = state.status ?? "";
    status.dataset.kind = state.kind ?? "";
    done.style.width = `${state.progress ?? 0}%`;
    told.textContent = state.told ?? "";
    const shown = [];
    if (curve.metric) shown.push(convergence(best, curve.metric));
    if (nulls.kinds) shown.push(distribution(nulls));
    panes.replaceChildren(...shown);
    Object.assign(root.dataset, {
      status: state.status ?? "", trials: best.length, ready: "1",
      nulls: (nulls.kinds ?? []).reduce((sum, kind) => sum + numbers(kind.scores).length, 0),
    });
  };
  dark();
  paint();
  const watcher = new MutationObserver(dark), media = matchMedia("(prefers-color-scheme: dark)");
  watcher.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "class"] });
  media.addEventListener("change", dark);
  model.on("change:state change:curve change:nulls", paint);
  return () => {
    model.off("change:state change:curve change:nulls", paint);
    watcher.disconnect();
    media.removeEventListener("change", dark);
  };
}

export default { render };
