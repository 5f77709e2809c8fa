// The surface explorer: draws the planes, walks them, shows a cell. All figures come from the kernel; what is
// hovered, zoomed and outlined needs none. Plain modules, no dependency, no request to anywhere.

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const MARKS = { peak: "▽", plateau: "□", ensemble: "⬡", candidate: "◇", approved: "☆" };
const SLOW_MS = 1200, LOST_MS = 12000, LONG_MS = 120000;
const TAPE = { each: 20, rows: 13, height: 284 };  // of the trade table: a row, how many are seen, all of it [px]
const ONLY = { name: "", unit: "", values: ["the only cell"], ordered: true };

// ---------------------------------------------------------------- small things

function node(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat()) if (child !== null && child !== undefined) made.append(child);
  return made;
}

const minus = text => text.replace(/^-/, "−");
const grouped = text => text.replace(/\B(?<!\.\d*)(?=(\d{3})+(?!\d))/g, "\u202f");

function written(value, form) {
  if (!Number.isFinite(value)) return "–";
  if (form === "percent") return minus((100 * value).toFixed(1)) + "%";
  if (form === "ratio") return minus(value.toFixed(2));
  if (form === "bps") return minus(value.toFixed(1));
  if (form === "count" || form === "days") return grouped(minus(value.toFixed(0)));
  return minus(String(+value.toPrecision(5)));
}

function number(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  return minus(size >= 1000 ? grouped(value.toFixed(size >= 1e4 || Number.isInteger(value) ? 0 : 1)) : String(+value.toPrecision(6)));
}

const moment = ms => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
const day = ms => new Date(ms).toISOString().slice(0, 10);

// A view on received bytes may begin anywhere; typed arrays may not: copy first.
const copied = (view, Type) => new Type(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));

function unpacked(pane) {
  if (pane.code === "f4") return copied(pane.data, Float32Array);
  const codes = copied(pane.data, Uint16Array), values = new Float32Array(codes.length);
  const step = (pane.to - pane.from) / 65534;
  for (let i = 0; i < codes.length; i++) values[i] = codes[i] ? pane.from + (codes[i] - 1) * step : NaN;
  return values;
}

function rgb(colour) {
  const n = parseInt(colour.slice(1), 16);
  return [n >> 16, (n >> 8) & 255, n & 255];
}

// On dark ground the scale turns around: what is near neutral is dark, what is far is bright.
function ramp(stops, diverging, dark) {
  let used = stops.map(rgb);
  if (dark) {
    const half = (used.length - 1) / 2;
    used = diverging
      ? [...used.slice(0, half).reverse(), [34, 38, 44], ...used.slice(half + 1).reverse()]
      : used.slice().reverse();
  }
  const table = new Uint32Array(256), last = used.length - 1;
  for (let i = 0; i < 256; i++) {
    const place = (i / 255) * last, left = Math.min(Math.floor(place), last - 1), share = place - left;
    const [r, g, b] = [0, 1, 2].map(k => Math.round(used[left][k] * (1 - share) + used[left + 1][k] * share));
    table[i] = (255 << 24) | (b << 16) | (g << 8) | r;
  }
  return table;
}

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const writtenTo = (place, text) => { if (place.data !== text) place.data = text; };
const escaped = text => String(text).replace(/[&<>"]/g, c => ESCAPES[c]);

// At the next frame, which shows what was just drawn; and after it, when the work of the browser on it is done.
function afterFrame(begins, painted) {
  requestAnimationFrame(() => {
    begins();
    const channel = new MessageChannel();
    channel.port1.onmessage = painted;
    channel.port2.postMessage(0);
  });
}

const hexOf = entry => `rgb(${entry & 255},${(entry >> 8) & 255},${(entry >> 16) & 255})`;

function palette(root) {
  const style = getComputedStyle(root), get = name => style.getPropertyValue(name).trim();
  const paper = get("--qlx-paper"), probe = document.createElement("canvas").getContext("2d");
  probe.fillStyle = style.backgroundColor || paper;
  probe.fillRect(0, 0, 1, 1);
  const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
  return {
    ink: style.color, muted: get("--qlx-muted"), rule: get("--qlx-rule"), paper: style.backgroundColor,
    gain: get("--qlx-gain"), loss: get("--qlx-loss"), accent: get("--qlx-accent"), hatch: get("--qlx-hatch"),
    shade: get("--qlx-shade"), font: `11px ${style.fontFamily}`, dark: 0.3 * r + 0.59 * g + 0.11 * b < 110,
  };
}

function sized(canvas, width, height) {
  const ratio = globalThis.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const c = canvas.getContext("2d");
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, width, height);
  return c;
}

function hatched(c, colours) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const t = tile.getContext("2d");
  t.strokeStyle = colours.hatch;
  t.lineWidth = 1.2;
  t.beginPath();
  t.moveTo(-2, 10); t.lineTo(10, -2); t.moveTo(-2, 2); t.lineTo(2, -2); t.moveTo(6, 10); t.lineTo(10, 6);
  t.stroke();
  return c.createPattern(tile, "repeat");
}

function niceTicks(low, high, count) {
  const span = high - low;
  if (!(span > 0)) return [low];
  const raw = span / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(k => k * power).find(s => s >= raw);
  const ticks = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) ticks.push(Math.abs(v) < step * 1e-9 ? 0 : v);
  return ticks;
}

// ---------------------------------------------------------------- the widget

function render({ model, el }) {
  const root = node("div", { class: "qlx", "data-lm-suppress-shortcuts": "true" });
  el.append(root);
  // JupyterLab takes the arrow keys of a notebook for itself, also from a focused control.
  root.addEventListener("keydown", event => event.stopPropagation());

  const S = {
    plane: null, panes: [], zoom: null, hover: null, threshold: null, thresholdFor: "", detail: null, market: null,
    window: null, seq: 0, flights: {}, clock: {}, wheelOutside: 0, 
  };
  const U = {};
  const about = () => model.get("about");
  const view = () => model.get("view");
  const colours = () => (S.colours = S.colours || palette(root));

  // ---- asking the kernel: one question of a kind at a time, the newest one waits

  function ask(message) {
    const kind = message.type, flight = S.flights[kind];
    if (flight) { flight.next = message; return; }
    const seq = ++S.seq, timers = [
      setTimeout(() => { if (kind !== "rules") status("waiting for the kernel …"); }, SLOW_MS),
      setTimeout(() => complain("The kernel does not answer: it may be busy with a cell, restarting, or gone. What is shown may be out of date."), kind === "rules" ? LONG_MS : LOST_MS),
    ];
    S.flights[kind] = { seq, timers, next: null };
    root.dataset.busy = "1";
    model.send({ ...message, seq });
  }

  function landed(seq) {
    for (const [kind, flight] of Object.entries(S.flights)) {
      if (flight.seq !== seq) continue;
      flight.timers.forEach(clearTimeout);
      delete S.flights[kind];
      if (flight.next) ask(flight.next);
    }
    if (!Object.keys(S.flights).length) { status(""); delete root.dataset.busy; }
  }

  function complain(text) {
    U.errorText.textContent = text;
    U.error.hidden = false;
    root.dataset.error = text;
  }

  function settle() {
    U.error.hidden = true;
    delete root.dataset.error;
  }

  const status = text => { if (U.status.textContent !== text) U.status.textContent = text; };
  const stamp = (name, began) => {
    const told = key => () => { root.dataset[key] = (performance.now() - began).toFixed(1); };
    if (began) afterFrame(told(`${name}Ms`), told(`${name}PaintedMs`));
  };

  function look(change) {
    settle();
    S.clock.view = performance.now();
    ask({ type: "view", view: { ...change } });
  }

  // ---- the frame

  function build() {
    root.replaceChildren();
    U.errorText = node("span");
    U.error = node("div", { class: "error", role: "alert", hidden: true }, U.errorText,
      node("button", { title: "dismiss", onclick: settle }, "×"));
    U.title = node("div", { class: "title" });
    U.ledger = node("div", { class: "ledger" });
    U.notes = node("div", { class: "notes" });
    U.tools = node("div", { class: "tools" });
    U.sliders = node("div", { class: "sliders" });
    U.panes = node("div", { class: "panes" });
    U.readout = node("div", { class: "readout", "aria-live": "polite" });
    U.status = node("span", { class: "status" });
    U.markRow = node("div", { class: "marks" });
    U.detail = node("div", { class: "detail" });
    U.gate = node("div", { class: "gate" });
    U.rules = node("details", { class: "rules" });
    root.append(
      U.error, node("header", {}, U.title, U.ledger), U.notes, U.tools, U.sliders, U.panes,
      node("div", { class: "line" }, U.readout, node("div", { class: "right-side" }, U.status, U.markRow)), U.rules, U.gate, U.detail,
    );
    heading();
    tools();
    sliders();
    rules();
    gate();
  }

  function heading() {
    const a = about();
    U.title.replaceChildren(...[
      node("b", {}, a.strategy), node("span", {}, a.market), node("span", { class: "muted" }, a.period),
      node("span", { class: "muted" }, `${grouped(String(a.cells))} cells`),
      Object.keys(a.fixed).length ? node("span", { class: "muted" },
        "fixed: " + Object.entries(a.fixed).map(([n, v]) => `${n} ${v}`).join(", ")) : null,
    ].filter(Boolean));
    const [cells, searches] = a.counted;
    U.ledger.replaceChildren(node("span", { title: "Every cell ever tried on these bars; the more, the less a good one proves." },
      `ledger: ${grouped(String(cells))} cells in ${grouped(String(searches))} search${searches === 1 ? "" : "es"}`));
    U.notes.replaceChildren(...a.notes.map(text => node("div", {}, text)));
  }

  const option = (value, text, chosen, title) =>
    node("option", { value, selected: value === chosen, title }, text);

  function tools() {
    const a = about(), v = view(), names = a.axes.map(axis => axis.name);
    S.toolsFor = toolsNow();
    const chooser = (label, chosen, options, change, title) => node("label", { title }, label,
      node("select", { "aria-label": label, onchange: event => change(event.target.value) }, options));
    const parts = [chooser("metric", v.metric,
      a.metrics.map(m => option(m.name, m.label, v.metric, m.unit)), metric => look({ metric }))];
    if (a.kind !== "line") {
      const axis = side => chooser(side, v[side], names.map(n => option(n, n, v[side])), name => look(turned(side, name)));
      parts.push(axis("x"), node("button", { class: "swap", title: "swap the axes",
        onclick: () => look({ x: v.y, y: v.x }) }, "⇄"), axis("y"));
    }
    parts.push(chooser("also", v.third, [
      option("", "nothing", v.third),
      node("optgroup", { label: "views" }, Object.entries(a.extras).map(([k, t]) => option(k, t, v.third))),
      node("optgroup", { label: "another metric" }, a.metrics.filter(m => m.name !== v.metric)
        .map(m => option(`metric:${m.name}`, m.label, v.third))),
    ], third => look({ third }), "a further pane: the same cells, another figure"));
    parts.push(node("label", { title: "cells with fewer closed trades are hatched and never the best" }, "at least",
      node("input", { type: "number", min: 0, step: 1, value: v.min_trades, "aria-label": "least trades",
        onchange: event => look({ min_trades: Math.max(0, Math.round(+event.target.value || 0)) }) }), "trades"));
    U.thresholdValue = node("output");
    U.threshold = node("input", { type: "range", min: 0, max: 1000, "aria-label": "contour",
      oninput: event => { S.threshold = thresholdAt(+event.target.value); drawPanes(); } });
    parts.push(node("label", { class: "contour", title: "outlines the plateau: where the neighbourhood in this plane (mean − 1 sd) reaches this level on the first pane" },
      "plateau above", U.threshold, U.thresholdValue));
    U.tools.replaceChildren(...parts);
  }

  // Choosing an axis that the other side has swaps them; the axis that leaves goes to a value of its own.
  function turned(side, name) {
    const v = view(), other = side === "x" ? "y" : "x";
    return v[other] === name ? { [side]: name, [other]: v[side] } : { [side]: name };
  }

  function thresholdAt(place) {
    const [low, high] = thresholdSpan();
    return place <= 0 ? null : low + (high - low) * (place / 1000);
  }

  function thresholdSpan() {
    const pane = S.panes[0];
    return pane ? [pane.low, pane.high] : [0, 1];
  }

  function sliders() {
    const a = about(), v = view();
    U.sliderOf = {};
    U.sliders.replaceChildren(...a.axes.filter(axis => axis.name in v.at).map(axis => {
      const at = v.at[axis.name], last = axis.values.length - 1, fixed = typeof at === "number";
      const value = node("output", {}, fixed ? axis.values[at] : at);
      const place = fixed ? at : Math.floor(last / 2);
      const change = index => { value.textContent = axis.values[index]; mode.value = "value"; look({ at: { ...view().at, ...S.at, [axis.name]: (S.at = { ...S.at, [axis.name]: index })[axis.name] } }); };
      const slide = axis.ordered
        ? node("input", { type: "range", min: 0, max: last, step: 1, value: place, "aria-label": axis.name,
          class: fixed ? "" : "idle", oninput: event => change(+event.target.value) })
        : node("select", { "aria-label": axis.name, onchange: event => change(+event.target.value) },
          axis.values.map((text, i) => option(String(i), text, String(place))));
      const mode = node("select", { class: "mode", "aria-label": `${axis.name}: which`, onchange: event => {
        const to = event.target.value;
        look({ at: { ...view().at, [axis.name]: to === "value" ? +slide.value : to } });
      } }, option("value", "at", fixed ? "value" : at), option("best", "best over", at), option("median", "median over", at));
      U.sliderOf[axis.name] = { slide, value, mode };
      return node("label", { class: "slider", title: [axis.meaning, axis.unit].filter(Boolean).join(" · ") },
        node("span", { class: "name" }, axis.name), mode, slide, value);
    }));
  }

  function followView() {
    const v = view(), a = about();
    S.at = {};
    const shown = Object.keys(U.sliderOf || {});
    if (shown.join() !== a.axes.map(x => x.name).filter(n => n in v.at).join()) return rebuildTools();
    for (const [name, { slide, value, mode }] of Object.entries(U.sliderOf)) {
      const at = v.at[name], fixed = typeof at === "number", axis = a.axes.find(x => x.name === name);
      if (fixed && +slide.value !== at && document.activeElement !== slide) slide.value = at;
      slide.classList.toggle("idle", !fixed);
      value.textContent = fixed ? axis.values[at] : "";
      mode.value = fixed ? "value" : at;
    }
    if (S.toolsFor === toolsNow()) return;
    if (!U.tools.contains(document.activeElement) || document.activeElement.tagName === "SELECT") tools(), followThreshold();
  }

  // What the tools show of the view; a slider changes none of it.
  const toolsNow = () => { const { at, ...shown } = view(); return JSON.stringify(shown); };

  function rebuildTools() { tools(); sliders(); followThreshold(); }

  // ---- planes

  function receive(draw = drawPanes) {
    const plane = model.get("plane");
    if (!plane || !plane.panes) return;
    S.plane = plane;
    S.panes = plane.panes.map(pane => ({ ...pane, values: unpacked(pane), image: null }));
    if (plane.px) S.points = [copied(plane.px, Float32Array), copied(plane.py, Float32Array)];
    const frame = `${view().x}|${view().y}|${plane.nx}|${plane.ny}`;
    if (frame !== S.frame) { S.frame = frame; S.zoom = null; }
    if (!S.panes.length) return;
    const first = S.panes[0], about = first.metric;
    if (S.thresholdFor !== about) {
      S.thresholdFor = about;
      S.threshold = first.diverging && first.high > 0 ? first.high / 2 : null;
    }
    followThreshold();
    frames();
    draw();
    arrived(plane.left);
  }

  function followThreshold() {
    const [low, high] = thresholdSpan();
    U.threshold.value = S.threshold === null ? 0 : Math.round(1000 * (S.threshold - low) / (high - low));
    U.thresholdValue.textContent = S.threshold === null || !S.panes.length ? "off" : written(S.threshold, S.panes[0].form);
  }

  function frames() {
    const keys = S.panes.map(p => p.key).join();
    if (U.paneKeys === keys && U.paneNodes) return;
    U.paneKeys = keys;
    U.paneNodes = S.panes.map((pane, k) => {
      const base = node("canvas"), over = node("canvas", { class: "over", tabindex: 0, role: "img",
        "data-pane": k, "aria-label": `${pane.title}: arrow keys walk the cells` });
      const bar = node("canvas", { class: "bar" }), title = node("div", { class: "pane-title" });
      pointer(over, k);
      return { base, over, bar, title, box: node("div", { class: "pane" }, title, node("div", { class: "stack" }, base, over), bar) };
    });
    U.panes.replaceChildren(...U.paneNodes.map(n => n.box));
  }

  function geometry() {
    const count = S.panes.length, gap = 18;
    S.width = S.width || root.clientWidth;  // to ask for it lays the page out
    const total = Math.max(320, S.width - 24);
    const columns = Math.max(1, Math.min(count, Math.floor((total + gap) / 300)));
    const width = Math.min(880, Math.floor((total - gap * (columns - 1)) / columns));
    const height = Math.round(Math.max(230, Math.min(400, width * 0.72)));
    const yTexts = about().kind === "plane" ? about().axes.find(a => a.name === view().y).values : ["0000.00"];
    const longest = Math.min(12, Math.max(3, ...yTexts.map(t => t.length)));
    return { width, height, left: 30 + 6.2 * longest, right: 8, top: 6, bottom: 40 };
  }

  function span() {
    const { nx, ny } = S.plane;
    if (about().kind === "points") {
      if (S.zoom) return S.zoom;
      const [px, py] = S.points, pad = v => (v[1] - v[0]) * 0.05 || 1;
      const x = [Math.min(...px), Math.max(...px)], y = [Math.min(...py), Math.max(...py)];
      return { x0: x[0] - pad(x), x1: x[1] + pad(x), y0: y[0] - pad(y), y1: y[1] + pad(y) };
    }
    return S.zoom || { x0: 0, x1: nx, y0: 0, y1: ny };
  }

  function scales(g) {
    const z = span(), w = g.width - g.left - g.right, h = g.height - g.top - g.bottom;
    return {
      x: v => g.left + ((v - z.x0) / (z.x1 - z.x0)) * w, y: v => g.top + h - ((v - z.y0) / (z.y1 - z.y0)) * h,
      ix: px => z.x0 + ((px - g.left) / w) * (z.x1 - z.x0), iy: py => z.y0 + ((g.top + h - py) / h) * (z.y1 - z.y0),
      w, h, z,
    };
  }

  function picture(pane, table) {
    const { nx, ny } = S.plane, made = document.createElement("canvas");
    made.width = nx; made.height = ny;
    const c = made.getContext("2d"), image = c.createImageData(nx, ny), out = new Uint32Array(image.data.buffer);
    const { values, low, high } = pane, factor = 255.999 / (high - low);
    for (let row = 0; row < ny; row++) {
      let to = (ny - 1 - row) * nx;
      for (let i = row * nx, end = i + nx; i < end; i++, to++) {
        const v = values[i];
        if (v !== v) continue;
        const k = (v - low) * factor;
        out[to] = table[k <= 0 ? 0 : k >= 255 ? 255 : k | 0];
      }
    }
    c.putImageData(image, 0, 0);
    return made;
  }

  function drawPanes() {
    if (!S.plane || !U.paneNodes) return;
    followThreshold();
    const kind = about().kind, g = S.geometry = geometry();
    S.panes.forEach((pane, k) => {
      const { base, bar, title } = U.paneNodes[k], c = sized(base, g.width, g.height);
      title.replaceChildren(node("b", {}, pane.title), node("span", { class: "muted" }, pane.label === pane.title ? "" : ` ${pane.label}`));
      pane.table = pane.table || ramp(about().colours[pane.diverging ? "diverging" : "sequential"], pane.diverging, colours().dark);
      if (kind === "plane") drawPlane(c, pane, g);
      else if (kind === "line") drawLine(c, pane, g);
      else drawPoints(c, pane, g);
      if (k === 0 && S.plane.empty) emptyText(c, g, S.plane.empty);
      colourBar(bar, pane, g);
    });
    drawOver();
    markRow();
    root.dataset.ready = "1";
    root.dataset.plane = S.plane.seq;
    stamp("slider", S.clock.view);
    S.clock.view = 0;
  }

  // Under other rules the cells in view come first, then all cells of these panes, then the rest of it.
  function arrived(left) {
    const began = S.clock.rules;
    root.dataset.left = left || "";
    if (!began) return;
    if (left === "view") stamp("ahead", began);
    else if (!S.clock.swept) { S.clock.swept = true; stamp("rules", began); }
    if (!left) { stamp("whole", began); S.clock.rules = 0; }
    status({ view: "swept: the cells in view; sweeping all others …", whole: "sweeping the whole history …" }[left] || "");
  }

  function emptyText(c, g, text) {
    c.fillStyle = colours().ink;
    c.font = colours().font.replace("11px", "13px");
    c.textAlign = "center"; c.textBaseline = "middle";
    const words = text.split(" "), lines = [""];
    for (const word of words) {
      if (c.measureText(`${lines.at(-1)} ${word}`).width > g.width - g.left - 40) lines.push("");
      lines[lines.length - 1] = `${lines.at(-1)} ${word}`.trim();
    }
    const x = g.left + (g.width - g.left) / 2, y = g.top + (g.height - g.top - g.bottom) / 2;
    const width = Math.max(...lines.map(l => c.measureText(l).width)) + 24;
    c.fillStyle = colours().paper;
    c.fillRect(x - width / 2, y - 10 * lines.length - 8, width, 20 * lines.length + 16);
    c.fillStyle = colours().ink;
    lines.forEach((line, i) => c.fillText(line, x, y + 20 * (i - (lines.length - 1) / 2)));
  }

  function drawPlane(c, pane, g) {
    const s = scales(g), { nx, ny } = S.plane, P = colours();
    c.save();
    c.beginPath(); c.rect(g.left, g.top, s.w, s.h); c.clip();
    c.fillStyle = hatched(c, P);
    c.fillRect(g.left, g.top, s.w, s.h);
    pane.image = pane.image || picture(pane, pane.table);
    const cw = s.w / (s.z.x1 - s.z.x0), ch = s.h / (s.z.y1 - s.z.y0);
    c.imageSmoothingEnabled = cw < 1 || ch < 1;
    c.drawImage(pane.image, s.x(0), s.y(ny), nx * cw, ny * ch);
    if (cw > 7 && ch > 7) {
      c.strokeStyle = P.paper; c.lineWidth = 1; c.beginPath();
      for (let i = Math.max(1, Math.ceil(s.z.x0)); i < s.z.x1; i++) { c.moveTo(s.x(i), g.top); c.lineTo(s.x(i), g.top + s.h); }
      for (let j = Math.max(1, Math.ceil(s.z.y0)); j < s.z.y1; j++) { c.moveTo(g.left, s.y(j)); c.lineTo(g.left + s.w, s.y(j)); }
      c.stroke();
    }
    if (cw > 38 && ch > 17) cellTexts(c, pane, s, cw, ch);
    contour(c, s, P);
    c.restore();
    marks(c, s, g, P);
    axes(c, g, s, P);
  }

  function cellTexts(c, pane, s, cw, ch) {
    const { nx } = S.plane;
    c.font = colours().font; c.textAlign = "center"; c.textBaseline = "middle";
    for (let j = Math.max(0, Math.floor(s.z.y0)); j < Math.min(S.plane.ny, s.z.y1); j++)
      for (let i = Math.max(0, Math.floor(s.z.x0)); i < Math.min(nx, s.z.x1); i++) {
        const v = pane.values[j * nx + i];
        if (v !== v) continue;
        const k = Math.max(0, Math.min(255, Math.floor(255.99 * (v - pane.low) / (pane.high - pane.low))));
        const e = pane.table[k], light = 0.3 * (e & 255) + 0.59 * ((e >> 8) & 255) + 0.11 * ((e >> 16) & 255);
        c.fillStyle = light > 140 ? "#1c2128" : "#f5f7fa";
        c.fillText(written(v, pane.form), s.x(i + 0.5), s.y(j + 0.5));
      }
  }

  // Mean minus one standard deviation of the neighbourhood in this plane (two steps either way, a Gaussian of
  // one step), as the plateau is chosen by; the other sign where less is better. NaN stays NaN.
  function levels(pane, side) {
    const { nx, ny } = S.plane, n = nx * ny, v = pane.values, weights = [0.0545, 0.2442, 0.4026, 0.2442, 0.0545];
    const ordered = name => about().axes.find(a => a.name === name)?.ordered;
    let sums = [new Float32Array(n), new Float32Array(n), new Float32Array(n)];
    for (let k = 0; k < n; k++) if (v[k] === v[k]) { sums[0][k] = 1; sums[1][k] = v[k]; sums[2][k] = v[k] * v[k]; }
    for (const [count, step, lines, stride, name] of [[nx, 1, ny, nx, view().x], [ny, nx, nx, 1, view().y]]) {
      if (!ordered(name) || count < 2) continue;
      sums = sums.map(from => {
        const to = new Float32Array(n);
        for (let l = 0; l < lines; l++) for (let i = 0, at = l * stride; i < count; i++, at += step) {
          let sum = 0;
          for (let d = Math.max(-2, -i); d <= 2 && i + d < count; d++) sum += weights[d + 2] * from[at + d * step];
          to[at] = sum;
        }
        return to;
      });
    }
    const out = new Float32Array(n);
    for (let k = 0; k < n; k++) {
      const mean = sums[1][k] / sums[0][k];
      out[k] = v[k] !== v[k] ? NaN : mean - side * Math.sqrt(Math.max(0, sums[2][k] / sums[0][k] - mean * mean));
    }
    return out;
  }

  // Edges between cells whose neighbourhood reaches the level on the first pane and cells where it does not.
  function outline() {
    const pane = S.panes[0], { nx, ny } = S.plane, t = S.threshold;
    const key = `${S.plane.seq}|${t}`;
    if (S.outlineKey === key) return S.outline;
    S.outlineKey = key;
    const lower = about().metrics.find(m => m.name === pane.metric)?.better === "lower", found = [];
    const v = (pane.levels = pane.levels || levels(pane, lower ? -1 : 1));
    const inside = (i, j) => i >= 0 && j >= 0 && i < nx && j < ny && (lower ? v[j * nx + i] <= t : v[j * nx + i] >= t);
    for (let j = 0; j <= ny && found.length < 400000; j++)
      for (let i = 0; i <= nx; i++) {
        const here = inside(i, j);
        if (i <= nx && j < ny && here !== inside(i - 1, j)) found.push(i, j, i, j + 1);
        if (i < nx && here !== inside(i, j - 1)) found.push(i, j, i + 1, j);
      }
    return (S.outline = found);
  }

  function contour(c, s, P) {
    if (S.threshold === null) return;
    const late = S.plane.nx * S.plane.ny > 250000 && !S.panes[0].levels;
    if (late) {  // the colours first, the outline when they are there
      if (!S.outlining) S.outlining = setTimeout(() => { S.outlining = 0; outline(); drawPanes(); }, 30);
      return;
    }
    const found = outline();
    for (const [colour, width] of [[P.paper, 3.5], [P.ink, 1.4]]) {
      c.strokeStyle = colour; c.lineWidth = found.length > 40000 ? 0.5 : width; c.lineCap = "round"; c.beginPath();
      for (let k = 0; k < found.length; k += 4) {
        c.moveTo(s.x(found[k]), s.y(found[k + 1]));
        c.lineTo(s.x(found[k + 2]), s.y(found[k + 3]));
      }
      c.stroke();
      if (found.length > 40000) break;
    }
  }

  function placed() {
    const v = view(), kind = about().kind;
    return (model.get("marks") || []).map(mark => {
      const x = v.x ? mark.at[v.x] : 0, y = kind === "line" ? 0 : mark.at[v.y];
      if (x === null || y === null || x === undefined || y === undefined) return null;
      const through = Object.entries(v.at).every(([name, at]) => typeof at !== "number" || mark.at[name] === at);
      return { ...mark, x, y, through };
    }).filter(Boolean).reduce((kept, mark) => {
      const same = mark.kind !== "ensemble" && kept.find(k => k.kind !== "ensemble" && k.x === mark.x && k.y === mark.y && k.through === mark.through);
      if (same) same.label += `, ${mark.label}`;
      return same ? kept : [...kept, mark];
    }, []);
  }

  function marks(c, s, g, P) {
    const half = about().kind === "points" ? 0 : 0.5, taken = [];
    for (const mark of placed()) {
      const x = s.x(mark.x + half), y = s.y(mark.y + half);
      if (x < g.left || x > g.left + s.w || y < g.top || y > g.top + s.h) continue;
      c.globalAlpha = mark.through ? 1 : 0.6;
      c.setLineDash(mark.through ? [] : [2, 2]);
      glyph(c, mark.kind, x, y, P);
      c.setLineDash([]);
      c.globalAlpha = 1;
      if (!mark.through || mark.kind === "ensemble") continue;  // the row of marks below names it and leads there
      const text = mark.label;
      c.font = colours().font; c.textBaseline = "middle";
      const width = c.measureText(text).width + 8, right = x + 12 + width < g.left + s.w;
      let ty = y;
      while (taken.some(t => Math.abs(t.y - ty) < 15 && Math.abs(t.x - x) < 90)) ty += 15;
      taken.push({ x, y: ty });
      c.textAlign = "left";
      const tx = right ? x + 10 : x - 10 - width;
      c.fillStyle = P.ink; c.fillRect(tx, ty - 7.5, width, 15);
      c.fillStyle = P.paper; c.fillText(text, tx + 4, ty + 0.5);
    }
  }

  function glyph(c, kind, x, y, P) {
    const draw = () => {
      c.beginPath();
      if (kind === "plateau") c.rect(x - 6, y - 6, 12, 12);
      else if (kind === "peak") { c.moveTo(x - 7, y - 5); c.lineTo(x + 7, y - 5); c.lineTo(x, y + 7); c.closePath(); }
      else if (kind === "candidate") { c.moveTo(x, y - 8); c.lineTo(x + 8, y); c.lineTo(x, y + 8); c.lineTo(x - 8, y); c.closePath(); }
      else if (kind === "approved") for (let i = 0; i < 10; i++) {
        const r = i % 2 ? 3.6 : 8.5, a = -Math.PI / 2 + (i * Math.PI) / 5;
        c[i ? "lineTo" : "moveTo"](x + r * Math.cos(a), y + r * Math.sin(a));
      } else for (let i = 0; i < 6; i++) c[i ? "lineTo" : "moveTo"](x + 4.5 * Math.cos((i * Math.PI) / 3), y + 4.5 * Math.sin((i * Math.PI) / 3));
      c.closePath(); c.stroke();
    };
    c.strokeStyle = P.paper; c.lineWidth = kind === "ensemble" ? 3.5 : 5; draw();
    c.strokeStyle = kind === "approved" ? P.gain : P.ink; c.lineWidth = kind === "ensemble" ? 1.5 : 2; draw();
  }

  function axes(c, g, s, P) {
    const a = about(), v = view(), xAxis = a.axes.find(x => x.name === v.x), yAxis = a.axes.find(x => x.name === v.y);
    c.font = P.font; c.fillStyle = P.muted; c.textAlign = "center"; c.textBaseline = "top";
    const widest = Math.max(...xAxis.values.map(t => t.length)) * 6.2 + 12;
    stepped(s.z.x0, s.z.x1, s.w / widest, xAxis.values.length).forEach(i =>
      c.fillText(xAxis.values[i], s.x(i + 0.5), g.top + s.h + 5));
    c.textAlign = "right"; c.textBaseline = "middle";
    if (yAxis) stepped(s.z.y0, s.z.y1, s.h / 18, yAxis.values.length).forEach(j =>
      c.fillText(shortened(yAxis.values[j]), g.left - 6, s.y(j + 0.5)));
    axisNames(c, g, s, P, named(xAxis), yAxis && named(yAxis));
  }

  // What is marked, and the way there: sets every slider to it and opens the cell.
  function markRow() {
    const v = view(), all = about().kind === "points" ? [] : model.get("marks") || [];
    const members = all.filter(mark => mark.kind === "ensemble").length;
    U.markRow.replaceChildren(members ? node("span", { class: "muted small", title: "the best hundredth of the cells, 5 to 20 of them, traded together" }, `${MARKS.ensemble} ensemble of ${members}`) : "", ...all.filter(mark => mark.kind !== "ensemble").map(mark => {
      const index = about().axes.map(axis => mark.at[axis.name]);
      const exact = index.every(place => Number.isInteger(place));
      const through = Object.entries(v.at).every(([name, at]) => typeof at !== "number" || mark.at[name] === at);
      return node("button", { class: "mark", disabled: !exact, "data-mark": mark.kind,
        title: exact ? "go there: every slider to its values, and open the cell" : "it lies between the cells of this surface",
        onclick: () => {
          const at = Object.fromEntries(Object.keys(v.at).map(name => [name, mark.at[name]]));
          if (!through || Object.values(v.at).some(a => typeof a !== "number")) look({ at });
          S.clock.select = performance.now();
          ask({ type: "select", index });
        } }, `${MARKS[mark.kind] || "○"} ${mark.label}`, through ? "" : node("span", { class: "muted" }, " elsewhere"));
    }));
  }

  const shortened = text => (text.length > 12 ? `${text.slice(0, 11)}…` : text);
  const named = axis => (axis.unit && axis.unit !== "name" ? `${axis.name} (${axis.unit})` : axis.name);

  function axisNames(c, g, s, P, x, y) {
    c.fillStyle = P.ink; c.font = P.font.replace("11px", "12px");
    c.textAlign = "center"; c.textBaseline = "bottom";
    c.fillText(x, g.left + s.w / 2, g.height - 2);
    if (!y) return;
    c.save();
    c.translate(11, g.top + s.h / 2); c.rotate(-Math.PI / 2); c.textBaseline = "middle";
    c.fillText(y, 0, 0);
    c.restore();
  }

  function stepped(low, high, room, count) {
    const first = Math.max(0, Math.floor(low)), last = Math.min(count - 1, Math.ceil(high) - 1), found = [];
    const step = Math.max(1, Math.ceil((last - first + 1) / Math.max(1, Math.floor(room))));
    for (let i = first; i <= last; i += step) found.push(i);
    return found;
  }

  function drawLine(c, pane, g) {
    const P = colours(), n = S.plane.nx, v = pane.values, known = [...v].filter(Number.isFinite);
    const low = Math.min(...known, pane.diverging ? 0 : Infinity), high = Math.max(...known, pane.diverging ? 0 : -Infinity);
    const pad = (high - low) * 0.08 || 1, z = { y0: low - pad, y1: high + pad };
    const w = g.width - g.left - g.right, h = g.height - g.top - g.bottom;
    const x = i => g.left + ((i + 0.5) / n) * w, y = value => g.top + h - ((value - z.y0) / (z.y1 - z.y0)) * h;
    const axis = about().axes.find(a => a.name === view().x) || ONLY;
    c.font = P.font; c.strokeStyle = P.rule; c.fillStyle = P.muted; c.lineWidth = 1;
    c.textAlign = "right"; c.textBaseline = "middle";
    if (known.length) for (const t of niceTicks(z.y0, z.y1, h / 40)) {
      c.beginPath(); c.moveTo(g.left, y(t)); c.lineTo(g.left + w, y(t)); c.stroke();
      c.fillText(written(t, pane.form), g.left - 6, y(t));
    }
    c.textAlign = "center"; c.textBaseline = "top";
    stepped(0, n, w / (Math.max(...axis.values.map(t => t.length)) * 6.2 + 12), n).forEach(i => c.fillText(axis.values[i], x(i), g.top + h + 5));
    axisNames(c, g, { w, h }, P, named(axis), pane.label);
    if (S.threshold !== null && known.length) {
      c.strokeStyle = P.ink; c.setLineDash([4, 3]); c.beginPath(); c.moveTo(g.left, y(S.threshold)); c.lineTo(g.left + w, y(S.threshold)); c.stroke(); c.setLineDash([]);
    }
    c.strokeStyle = P.gain; c.lineWidth = 1.8; c.beginPath();
    let pen = false;
    v.forEach((value, i) => { if (value !== value) { pen = false; return; } c[pen ? "lineTo" : "moveTo"](x(i), y(value)); pen = true; });
    c.stroke();
    c.fillStyle = P.gain;
    if (n < 120) v.forEach((value, i) => { if (value === value) { c.beginPath(); c.arc(x(i), y(value), 3, 0, 7); c.fill(); } });
    for (const mark of placed()) {
      const value = v[Math.round(mark.x)];
      if (value === value) { glyph(c, mark.kind, x(mark.x), y(value), P); c.fillStyle = P.ink; c.textAlign = "center"; c.textBaseline = "bottom"; c.fillText(mark.label, x(mark.x), y(value) - 10); }
    }
    pane.lineY = y;
  }

  function drawPoints(c, pane, g) {
    const P = colours(), s = scales(g), [px, py] = S.points, a = about(), v = view();
    c.strokeStyle = P.rule; c.fillStyle = P.muted; c.font = P.font; c.lineWidth = 1;
    const axis = name => a.axes.find(x => x.name === name);
    c.textAlign = "center"; c.textBaseline = "top";
    for (const t of niceTicks(s.z.x0, s.z.x1, s.w / 70)) {
      c.beginPath(); c.moveTo(s.x(t), g.top); c.lineTo(s.x(t), g.top + s.h); c.stroke();
      c.fillText(axis(v.x).ordered ? number(t) : axis(v.x).values[t] ?? "", s.x(t), g.top + s.h + 5);
    }
    c.textAlign = "right"; c.textBaseline = "middle";
    for (const t of niceTicks(s.z.y0, s.z.y1, s.h / 40)) {
      c.beginPath(); c.moveTo(g.left, s.y(t)); c.lineTo(g.left + s.w, s.y(t)); c.stroke();
      c.fillText(axis(v.y).ordered ? number(t) : shortened(axis(v.y).values[t] ?? ""), g.left - 6, s.y(t));
    }
    axisNames(c, g, s, P, named(axis(v.x)), named(axis(v.y)));
    c.save(); c.beginPath(); c.rect(g.left, g.top, s.w, s.h); c.clip();
    const radius = px.length > 3000 ? 2 : px.length > 400 ? 3.2 : 5, factor = 255.999 / (pane.high - pane.low);
    for (const known of [false, true]) for (let i = 0; i < px.length; i++) {
      const value = pane.values[i];
      if ((value === value) !== known) continue;
      c.beginPath(); c.arc(s.x(px[i]), s.y(py[i]), radius, 0, 7);
      if (known) { c.fillStyle = hexOf(pane.table[Math.max(0, Math.min(255, Math.floor((value - pane.low) * factor)))]); c.fill(); c.strokeStyle = P.muted; c.lineWidth = 0.5; c.stroke(); }
      else { c.strokeStyle = P.hatch; c.lineWidth = 1; c.stroke(); }
    }
    c.restore();
    marks(c, s, g, P);
  }

  function colourBar(canvas, pane, g) {
    const P = colours(), c = sized(canvas, g.width, 30), x = g.left, w = g.width - g.left - g.right - 122;
    for (let i = 0; i < 128; i++) { c.fillStyle = hexOf(pane.table[i * 2]); c.fillRect(x + (i * w) / 128, 4, w / 128 + 1, 9); }
    c.font = P.font; c.fillStyle = P.muted; c.textBaseline = "top";
    const texts = [pane.low, (pane.low + pane.high) / 2, pane.high].map(v => written(v, pane.form));
    c.textAlign = "left"; c.fillText((pane.clipped[0] ? "≤ " : "") + texts[0], x, 16);
    c.textAlign = "center"; c.fillText(texts[1], x + w / 2, 16);
    c.textAlign = "right"; c.fillText((pane.clipped[1] ? "≥ " : "") + texts[2], x + w, 16);
    c.fillStyle = hatched(c, P); c.fillRect(x + w + 14, 4, 16, 9);
    c.strokeStyle = P.hatch; c.lineWidth = 0.5; c.strokeRect(x + w + 14, 4, 16, 9);
    c.fillStyle = P.muted; c.textAlign = "left"; c.textBaseline = "middle";
    c.fillText(view().min_trades > 0 ? `< ${grouped(String(view().min_trades))} trades` : "undefined", x + w + 35, 9);
  }

  // ---- what is under the pointer

  function drawOver() {
    const g = S.geometry, P = colours(), began = performance.now(), kind = about().kind;
    const chosen = model.get("selected")?.place, h = S.hover;
    S.panes.forEach((pane, k) => {
      const c = sized(U.paneNodes[k].over, g.width, g.height), s = scales(g);
      const at = (i, j) => kind === "line" ? [g.left + ((i + 0.5) / S.plane.nx) * s.w, pane.lineY?.(pane.values[i])]
        : kind === "points" ? [s.x(S.points[0][i]), s.y(S.points[1][i])] : [s.x(i + 0.5), s.y(j + 0.5)];
      const inside = (x, y) => x >= g.left && x <= g.left + s.w && y >= g.top && y <= g.top + s.h;
      if (chosen) {
        const [x, y] = at(chosen[0], chosen[1]);
        if (inside(x, y)) {
          const cw = kind === "plane" ? Math.max(9, s.w / (s.z.x1 - s.z.x0)) : 14, ch = kind === "plane" ? Math.max(9, s.h / (s.z.y1 - s.z.y0)) : 14;
          for (const [colour, width] of [[P.paper, 5], [P.accent, 2.5]]) { c.strokeStyle = colour; c.lineWidth = width; c.strokeRect(x - cw / 2, y - ch / 2, cw, ch); }
        }
      }
      if (h) {
        const [x, y] = at(h.i, h.j);
        if (inside(x, y)) {
          c.lineWidth = 1; c.strokeStyle = P.ink; c.setLineDash([3, 3]); c.beginPath();
          c.moveTo(x, g.top); c.lineTo(x, g.top + s.h); c.moveTo(g.left, y); c.lineTo(g.left + s.w, y);
          c.stroke(); c.setLineDash([]);
        }
      }
    });
    readout();
    if (h) root.dataset.hoverMs = (performance.now() - began).toFixed(2);
  }

  function readout() {
    const place = S.hover || (model.get("selected")?.place && { i: model.get("selected").place[0], j: model.get("selected").place[1] });
    if (!place) { U.readout.textContent = "Point at a cell to read it, click it to open it. Wheel zooms, double click resets, arrow keys walk."; return; }
    const a = about(), v = view(), axis = name => a.axes.find(x => x.name === name) || ONLY, n = place.j * S.plane.nx + place.i;
    const where = a.kind === "points" ? [[v.x, number(S.points[0][n])], [v.y, number(S.points[1][n])]]
      : [[v.x, axis(v.x)?.values[place.i]], ...(v.y ? [[v.y, axis(v.y)?.values[place.j]]] : [])];
    U.readout.replaceChildren(
      ...where.map(([name, value]) => node("span", {}, `${name} `, node("b", {}, value ?? "–"))),
      ...S.panes.map(pane => {
        const value = pane.values[n], edge = pane.code === "u2" && (value <= pane.from ? "≤ " : value >= pane.to ? "≥ " : "");
        return node("span", {}, `${pane.title === "all of the history" ? pane.label : pane.title.split(" (")[0]} `, node("b", {}, (edge || "") + written(value, pane.form)));
      }));
  }

  function cellAt(event, over) {
    const box = over.getBoundingClientRect(), g = S.geometry, s = scales(g);
    const px = event.clientX - box.left, py = event.clientY - box.top, kind = about().kind;
    if (px < g.left || px > g.left + s.w || py < g.top || py > g.top + s.h) return null;
    if (kind === "line") return { i: Math.min(S.plane.nx - 1, Math.floor(((px - g.left) / s.w) * S.plane.nx)), j: 0 };
    if (kind === "points") {
      let best = -1, least = 900;
      for (let i = 0; i < S.points[0].length; i++) {
        const d = (s.x(S.points[0][i]) - px) ** 2 + (s.y(S.points[1][i]) - py) ** 2;
        if (d < least) { least = d; best = i; }
      }
      return best < 0 ? null : { i: best, j: 0 };
    }
    const i = Math.floor(s.ix(px)), j = Math.floor(s.iy(py));
    return i < 0 || j < 0 || i >= S.plane.nx || j >= S.plane.ny ? null : { i, j };
  }

  function choose(i, j) {
    settle();
    S.hover = { i, j };
    S.clock.select = performance.now();
    ask({ type: "select", x: i, y: j });
    drawOver();
  }

  function pointer(over) {
    let down = null;
    over.addEventListener("mousemove", event => {
      if (down && S.zoom && about().kind !== "line") {
        const dx = event.clientX - down.x, dy = event.clientY - down.y;
        if (down.moved || Math.hypot(dx, dy) > 4) {
          down.moved = true;
          const s = scales(S.geometry), fx = (down.zoom.x1 - down.zoom.x0) / s.w, fy = (down.zoom.y1 - down.zoom.y0) / s.h;
          S.zoom = bounded({ x0: down.zoom.x0 - dx * fx, x1: down.zoom.x1 - dx * fx, y0: down.zoom.y0 + dy * fy, y1: down.zoom.y1 + dy * fy });
          drawPanes();
          return;
        }
      }
      const found = cellAt(event, over);
      if (found?.i === S.hover?.i && found?.j === S.hover?.j) return;
      S.hover = found;
      drawOver();
    });
    over.addEventListener("mouseleave", () => { S.hover = null; down = null; drawOver(); });
    const clicked = event => {
      const found = event.detail < 2 && cellAt(event, over);
      if (found) choose(found.i, found.j);
    };
    over.addEventListener("mousedown", event => {
      down = { x: event.clientX, y: event.clientY, zoom: span(), moved: false, chosen: !S.zoom && event.button === 0 };
      if (down.chosen) clicked(event);  // there is nothing to drag: no need to wait for the button
    });
    over.addEventListener("mouseup", event => {
      const was = down;
      down = null;
      if (was && !was.moved && !was.chosen && event.button === 0) clicked(event);
    });
    over.addEventListener("dblclick", () => { S.zoom = null; drawPanes(); });
    over.addEventListener("wheel", event => {
      if (performance.now() - S.wheelOutside < 250 || about().kind === "line") return;  // the page was being scrolled
      if (event.deltaY > 0 && !S.zoom) return;
      event.preventDefault();
      const box = over.getBoundingClientRect(), s = scales(S.geometry);
      zoomBy(event.deltaY < 0 ? 0.8 : 1.25, s.ix(event.clientX - box.left), s.iy(event.clientY - box.top));
    }, { passive: false });
    over.addEventListener("keydown", event => {
      const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (event.key === "Escape" || event.key === "0") { S.zoom = null; drawPanes(); return; }
      if (event.key === "+" || event.key === "-") { const z = span(); zoomBy(event.key === "+" ? 0.8 : 1.25, (z.x0 + z.x1) / 2, (z.y0 + z.y1) / 2); return; }
      if (!steps) return;
      event.preventDefault();
      const { nx, ny } = S.plane, from = S.hover || (model.get("selected")?.place ? { i: model.get("selected").place[0], j: model.get("selected").place[1] } : { i: Math.floor(nx / 2), j: Math.floor(ny / 2) });
      const to = { i: from.i + steps[0], j: from.j + steps[1] };
      if (to.i >= 0 && to.j >= 0 && to.i < nx && to.j < ny) choose(to.i, to.j);
    });
  }

  function bounded(z) {
    if (about().kind === "points") return z;
    const { nx, ny } = S.plane, w = Math.min(nx, z.x1 - z.x0), h = Math.min(ny, z.y1 - z.y0);
    const x0 = Math.max(0, Math.min(nx - w, z.x0)), y0 = Math.max(0, Math.min(ny - h, z.y0));
    return { x0, x1: x0 + w, y0, y1: y0 + h };
  }

  function zoomBy(factor, cx, cy) {
    const z = span(), { nx, ny } = S.plane, points = about().kind === "points";
    const limit = (low, high, centre, size) => {
      const w = Math.max(points ? 1e-9 : Math.min(3, size), (high - low) * factor), share = (centre - low) / (high - low);
      return [centre - share * w, centre - share * w + w];
    };
    const [x0, x1] = limit(z.x0, z.x1, cx, nx), [y0, y1] = limit(z.y0, z.y1, cy, ny);
    S.zoom = bounded({ x0, x1, y0, y1 });
    if (!points && S.zoom.x1 - S.zoom.x0 >= nx && S.zoom.y1 - S.zoom.y0 >= ny) S.zoom = null;
    drawPanes();
  }

  // ---- a cell

  function showCell(told, buffers) {
    const typed = {};
    told.buffers.forEach((name, k) => {
      const whole = name.startsWith("bars:") || /_bar$|^side$|^reason$|^held$/.test(name);
      typed[name] = copied(buffers[k], whole ? Int32Array : Float32Array);
    });
    const first = told.columns.length - 3, same = told.figures.every(row => new Set(row.slice(first)).size === 1);
    S.detail = { ...told, ...typed, agree: same };
    if (!S.market) return;
    drawCell();
    const began = S.clock.select;
    S.clock.select = 0;
    stamp("click", began);
    afterFrame(() => {}, () => {
      root.dataset.sel = told.index.join(",");
      root.dataset.trades = told.trades;
    });
  }

  // Built once; a click then changes texts and pixels only, so that the notebook around it is not laid out again.
  function cellFrame() {
    const parts = U.cell = {
      chips: node("div", { class: "chips" }), figures: node("table", { class: "figures" }), note: node("div", { class: "muted small" }),
      months: node("table", { class: "months" }), count: node("b"),
      charts: ["equity", "drawdown", "price"].map(name => node("canvas", { class: "chart", "data-chart": name })),
    };
    U.chartBox = node("div", { class: "charts" }, parts.charts);
    U.detail.replaceChildren(
      node("div", { class: "cell-head" }, node("b", {}, "Selected cell"), parts.chips),
      node("div", { class: "columns" }, node("div", { class: "left" }, parts.figures, parts.note), node("div", { class: "right" }, U.chartBox)),
      node("div", { class: "columns" },
        node("div", { class: "half" }, node("b", {}, "Monthly returns"), node("div", { class: "scroll" }, parts.months)),
        node("div", { class: "half" }, parts.count, node("span", { class: "muted small" }, "  click one to see it"), tradeFrame())));
    chartPointer();
  }

  function drawCell() {
    const d = S.detail;
    if (!d || !S.market) return;
    const begun = !U.cell?.chips.isConnected;
    if (begun) cellFrame();
    else drawCharts();  // first: a canvas that is given a font has the styles of all that was changed before computed
    const chip = ([name, , unit]) => `<span title="${escaped(unit)}">${escaped(name)} <b> </b></span>`;
    filled(U.cell.chips, "b", d.params.map(p => p[0]).join("|"), () => d.params.map(chip).join(""), d.params.map(p => p[1]));
    figureTable(d);
    const note = `${d.agree ? "No figure depends on the fill assumption. " : ""}* what this surface was swept with. All three fill assumptions are of the whole history${d.split ? ` (out-of-sample from ${day(d.split)})` : ""}.`;
    if (U.cell.note.textContent !== note) U.cell.note.textContent = note;
    months(d.months);
    U.cell.count.textContent = `Trades: ${grouped(String(d.trades))}`;
    tradeTable();
    if (begun) drawCharts();  // how wide they are follows from the tables beside
  }

  // Texts into places that are there already; the places are made anew if their shape is another.
  function filled(box, places, shape, made, texts) {
    if (box.shape !== shape) {
      box.innerHTML = made();
      box.shape = shape;
      box.tints = [];
      box.texts = [...box.querySelectorAll(places)].map(at => at.firstChild || at.appendChild(document.createTextNode("")));
    }
    texts.forEach((text, k) => writtenTo(box.texts[k], text));
  }

  function figureTable(d) {
    const head = d.columns.map((name, k) => (k ? name + (name === d.own ? " *" : "") : ""));
    const row = (cells, tag) => `<tr>${cells.map((text, k) => { const t = k ? tag : "th"; return `<${t} class="${k ? "" : "l"}">${escaped(text)}</${t}>`; }).join("")}</tr>`;
    filled(U.cell.figures, "tbody th, tbody td", `${head.join("|")}|${d.figures.map(r => r[0]).join("|")}`,
      () => `<thead>${row(head, "th")}</thead><tbody>${d.figures.map(r => row(r, "td")).join("")}</tbody>`, d.figures.flat());
  }

  function months(rows) {
    const P = colours(), years = [...new Set(rows.map(r => r[0]))], by = Object.fromEntries(rows.map(([y, m, r]) => [`${y}-${m}`, r]));
    const most = Math.max(0.01, ...rows.map(r => Math.abs(r[2]))), values = [];
    for (const year of years) {
      const row = MONTHS.map((_, m) => by[`${year}-${m + 1}`]);
      values.push(...row, row.reduce((product, r) => product * (1 + (r ?? 0)), 1) - 1);
    }
    const empty = `${"<td></td>".repeat(12)}<td class="total"></td>`;
    filled(U.cell.months, "td", years.join(), () => `<thead><tr><th>%</th>${MONTHS.map(m => `<th>${m}</th>`).join("")}<th>year</th></tr></thead><tbody>${
      years.map(y => `<tr><th>${y}</th>${empty}</tr>`).join("")}</tbody>`,
      values.map(value => (value === undefined ? "" : minus((100 * value).toFixed(1)))));
    const { texts, tints = [] } = U.cell.months;
    values.forEach((value, k) => {
      if (k % 13 === 12) return;
      const tint = value ? `color-mix(in srgb, ${value >= 0 ? P.gain : P.loss} ${Math.round(12 + 60 * Math.min(1, Math.abs(value) / most))}%, transparent)` : "";
      if ((tints[k] || "") !== tint) texts[k].parentNode.style.backgroundColor = tints[k] = tint;
    });
    U.cell.months.tints = tints;
  }

  const timeOf = bar => S.market.first + (bar / S.market.merged) * S.market.step;

  // As many rows as are seen, the last trade on top; scrolling changes what they say.
  function tradeFrame() {
    const head = ["#", "side", "entry (UTC)", "exit (UTC)", "by", "bars", "entry", "exit", "after costs"];
    const rows = Array.from({ length: TAPE.rows }, () => node("tr", { tabindex: 0 }, head.map(() => node("td", {}, document.createTextNode("")))));
    const table = node("table", {}, node("thead", {}, node("tr", {}, head.map(text => node("th", {}, text)))), node("tbody", {}, rows));
    const roll = node("div", { class: "roll" }, node("div", { class: "stuck" }, table));
    const box = node("div", { class: "scroll tall", style: `height: ${TAPE.height}px` }, roll), none = node("div", { class: "muted" }, "This cell never traded.");
    U.tape = { rows: rows.map(row => ({ row, texts: [...row.children].map(td => td.firstChild), last: row.lastChild })), roll, box, none, table, top: 0, from: 0 };
    box.addEventListener("scroll", () => { U.tape.top = box.scrollTop; rollTo(Math.round(box.scrollTop / TAPE.each)); }, { passive: true });
    const asked = event => event.target.closest("[data-trade]");
    table.addEventListener("click", event => { if (asked(event)) showTrade(+asked(event).dataset.trade); });
    table.addEventListener("keydown", event => { if (event.key === "Enter" && asked(event)) showTrade(+asked(event).dataset.trade); });
    return node("div", { class: "trades", "data-part": "trades" }, box, none);
  }

  function tradeTable() {
    const n = S.detail.side.length, T = U.tape;
    T.box.hidden = !n;
    T.none.hidden = n > 0;
    T.roll.style.height = `${TAPE.each * (n + 1) + 4}px`;
    if (T.top) { T.box.scrollTop = T.top = 0; }
    rollTo(0);
  }

  function rollTo(from) {
    const d = S.detail, n = d.side.length, T = U.tape;
    T.from = Math.max(0, Math.min(from, n - T.rows.length));
    T.rows.forEach(({ row, texts, last }, i) => {
      const k = n - 1 - T.from - i;
      if (row.hidden !== k < 0) row.hidden = k < 0;
      if (k < 0) { delete row.dataset.trade; return; }
      const open = d.exit_bar[k] < 0, r = d.return[k];
      [String(d.trades - n + k + 1), d.side[k] > 0 ? "long" : "short", moment(timeOf(d.entry_bar[k])), open ? "–" : moment(timeOf(d.exit_bar[k])),
        d.reasons[d.reason[k]], String(d.held[k]), number(d.entry[k]), number(d.exit[k]), `${r >= 0 ? "+" : ""}${minus((100 * r).toFixed(2))}%`]
        .forEach((text, c) => writtenTo(texts[c], text));
      row.dataset.trade = k;
      const kind = r >= 0 ? "gain" : "loss";
      if (last.className !== kind) last.className = kind;
    });
  }

  function showTrade(k) {
    const d = S.detail, a = d.entry_bar[k], b = d.last_bar[k], room = Math.max(15, Math.round(0.7 * (b - a)));
    S.window = [Math.max(0, a - room), Math.min(S.market.bars, b + room)];
    S.trade = k;
    drawCharts();
  }

  const CHART = { left: 58, right: 10 };

  function chartX(width) {
    const [a, b] = S.window || [0, S.market.bars], w = width - CHART.left - CHART.right;
    return { x: bar => CHART.left + ((bar - a) / (b - a)) * w, bar: px => a + ((px - CHART.left) / w) * (b - a), a, b, w };
  }

  function chartPointer() {
    const zoom = (factor, centre) => {
      const [a, b] = S.window || [0, S.market.bars], w = Math.max(10, (b - a) * factor), share = (centre - a) / (b - a);
      const a1 = Math.max(0, Math.min(S.market.bars - Math.min(w, S.market.bars), centre - share * w));
      S.window = w >= S.market.bars ? null : [a1, a1 + w];
      drawCharts();
    };
    U.chartBox.addEventListener("wheel", event => {
      if (performance.now() - S.wheelOutside < 250 || (event.deltaY > 0 && !S.window)) return;
      event.preventDefault();
      const box = U.chartBox.getBoundingClientRect();
      zoom(event.deltaY < 0 ? 0.75 : 1.33, chartX(box.width).bar(event.clientX - box.left));
    }, { passive: false });
    U.chartBox.addEventListener("dblclick", () => { S.window = null; drawCharts(); });
    let down = null;
    U.chartBox.addEventListener("mousedown", event => { down = S.window ? { x: event.clientX, window: S.window } : null; });
    U.chartBox.addEventListener("mousemove", event => {
      if (!down || !event.buttons) return;
      const { w } = chartX(U.chartBox.clientWidth), [a, b] = down.window, shift = ((down.x - event.clientX) / w) * (b - a);
      const a1 = Math.max(0, Math.min(S.market.bars - (b - a), a + shift));
      S.window = [a1, a1 + b - a];
      drawCharts();
    });
    U.chartBox.addEventListener("mouseup", () => { down = null; });
  }

  function drawCharts() {
    // To ask for the width lays the page out: once for each width of the whole.
    if (S.chartFor !== S.width || !S.chartWidth) { S.chartFor = S.width; S.chartWidth = U.chartBox.clientWidth; }
    const width = Math.max(300, S.chartWidth), [equity, drawdown, price] = U.cell.charts;
    drawEquity(sized(equity, width, 190), width, 190);
    drawDrawdown(sized(drawdown, width, 90), width, 90);
    drawPrice(sized(price, width, 250), width, 250);
  }

  function chartFrame(c, width, height, ticks, y, text, title, times) {
    const P = colours(), { x, a, b } = chartX(width);
    if (S.detail.split) {
      const bar = ((S.detail.split - S.market.first) / S.market.step) * S.market.merged;
      if (bar < b) { c.fillStyle = P.shade; c.fillRect(Math.max(CHART.left, x(bar)), 16, width - CHART.right - Math.max(CHART.left, x(bar)), height - 16 - (times ? 18 : 4)); }
    }
    c.font = P.font; c.lineWidth = 1; c.strokeStyle = P.rule; c.fillStyle = P.muted; c.textAlign = "right"; c.textBaseline = "middle";
    for (const t of ticks) { c.beginPath(); c.moveTo(CHART.left, y(t)); c.lineTo(width - CHART.right, y(t)); c.stroke(); c.fillText(text(t), CHART.left - 6, y(t)); }
    c.fillStyle = P.ink; c.textAlign = "left"; c.textBaseline = "top"; c.fillText(title, CHART.left, 1);
    if (!times) return;
    c.fillStyle = P.muted; c.textAlign = "center"; c.textBaseline = "bottom";
    const count = Math.max(2, Math.floor((width - CHART.left) / 110)), spanMs = timeOf(b) - timeOf(a);
    for (let k = 0; k < count; k++) {
      const bar = a + ((k + 0.5) * (b - a)) / count, ms = timeOf(bar);
      c.fillText(spanMs > 5 * 864e5 ? day(ms) : moment(ms).slice(5), x(bar), height - 1);
    }
  }

  // Of the points that share a column of pixels the first, lowest, highest and last: the same picture, and far less
  // of it to draw. Calls back with the place of each point that is left, NaN where the line is broken.
  function columns(bars, values, x, y, a, b, call) {
    let column = NaN, first = 0, low = 0, high = 0, last = 0;
    const flush = () => {
      if (column !== column) return;
      for (const v of [first, ...(low < high ? (first <= last ? [low, high] : [high, low]) : []), last]) call(column, y(v));
    };
    for (let i = 0; i < bars.length; i++) {
      if (bars[i + 1] < a || bars[i - 1] > b) continue;
      const v = values[i], at = Math.round(x(bars[i]) * 2) / 2;
      if (!(v > -Infinity)) { flush(); column = NaN; call(NaN, NaN); continue; }
      if (at !== column) { flush(); column = at; first = low = high = v; }
      else { if (v < low) low = v; if (v > high) high = v; }
      last = v;
    }
    flush();
  }

  function line(c, bars, values, x, y, a, b) {
    c.beginPath();
    let pen = false;
    columns(bars, values, x, y, a, b, (px, py) => {
      if (px !== px) { pen = false; return; }
      c[pen ? "lineTo" : "moveTo"](px, py);
      pen = true;
    });
    c.stroke();
  }

  function logTicks(low, high) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
      for (const k of [1, 2, 5]) { const v = k * 10 ** power; if (v >= low && v <= high) found.push(v); }
    return found.length >= 2 ? found : niceTicks(low, high, 4).filter(v => v > 0);
  }

  function drawEquity(c, width, height) {
    const d = S.detail, P = colours(), { x, a, b, w } = chartX(width);
    const names = d.columns.filter(name => d[`equity:${name}`]), M = S.market;
    let low = Infinity, high = -Infinity;
    const seen = v => { if (v > 0) { if (v < low) low = v; if (v > high) high = v; } };
    names.forEach(name => d[`bars:${name}`].forEach((bar, i) => { if (bar >= a && bar <= b) seen(d[`equity:${name}`][i]); }));
    const held = [], base = M.close.find(v => v === v), stepBars = Math.max(1, Math.floor((b - a) / M.merged / 400));
    for (let i = Math.floor(a / M.merged); i < Math.min(M.close.length, b / M.merged); i += stepBars) { const v = M.close[i] / base; held.push([i * M.merged, v]); seen(v); }
    if (!(low < high)) { low = 0.9; high = 1.1; }
    const l = Math.log(low) - 0.02, h = Math.log(high) + 0.02, y = v => 18 + (1 - (Math.log(v) - l) / (h - l)) * (height - 26);
    chartFrame(c, width, height, logTicks(low, high), y, v => number(v), "Equity (log, 1 = start)", false);
    c.save(); c.beginPath(); c.rect(CHART.left, 14, w, height - 14); c.clip();
    c.strokeStyle = P.muted; c.lineWidth = 1; c.globalAlpha = 0.65;
    line(c, held.map(p => p[0]), held.map(p => p[1]), x, y, a, b);
    c.globalAlpha = 1;
    for (const name of [...names].reverse()) {
      const own = name === d.own;
      c.strokeStyle = own ? P.gain : name === "optimistic" ? P.muted : P.loss;
      c.lineWidth = own ? 1.8 : 1;
      line(c, d[`bars:${name}`], d[`equity:${name}`].map(v => (v > 0 ? v : NaN)), x, y, a, b);
    }
    c.restore();
    c.font = P.font; c.textAlign = "right"; c.textBaseline = "top";
    let right = width - CHART.right;
    for (const [text, colour] of [["market held", P.muted], ...names.filter(n => n !== d.own).map(n => [n, n === "optimistic" ? P.muted : P.loss]), [d.own, P.gain]]) {
      c.fillStyle = colour; c.fillText(text, right, 1); right -= c.measureText(text).width + 14;
    }
  }

  function drawDrawdown(c, width, height) {
    const d = S.detail, P = colours(), { x, a, b, w } = chartX(width), bars = d[`bars:${d.own}`], below = d[`drawdown:${d.own}`];
    let low = -0.01;
    bars.forEach((bar, i) => { if (bar >= a && bar <= b && below[i] < low) low = below[i]; });
    const y = v => 18 + (v / low) * (height - 26);
    chartFrame(c, width, height, niceTicks(low, 0, 3), y, v => written(v, "percent"), "Drawdown", false);
    c.save(); c.beginPath(); c.rect(CHART.left, 14, w, height - 14); c.clip();
    c.fillStyle = P.loss; c.globalAlpha = 0.35; c.beginPath(); c.moveTo(x(bars[0]), y(0));
    columns(bars, below, x, y, a, b, (px, py) => c.lineTo(px, py));
    c.lineTo(x(bars.at(-1)), y(0)); c.closePath(); c.fill(); c.globalAlpha = 1;
    c.strokeStyle = P.loss; c.lineWidth = 1; line(c, bars, below, x, y, a, b);
    c.restore();
  }

  function drawPrice(c, width, height) {
    const d = S.detail, M = S.market, P = colours(), { x, a, b, w } = chartX(width);
    const first = Math.max(0, Math.floor(a / M.merged)), last = Math.min(M.close.length, Math.ceil(b / M.merged));
    let low = Infinity, high = -Infinity;
    for (let i = first; i < last; i++) { if (M.low[i] < low) low = M.low[i]; if (M.high[i] > high) high = M.high[i]; }
    if (!(low < high)) { low = (low || 1) * 0.99; high = (high || 1) * 1.01; }
    const pad = (high - low) * 0.05, y = v => 18 + (1 - (v - low + pad) / (high - low + 2 * pad)) * (height - 40);
    chartFrame(c, width, height, niceTicks(low, high, 5), y, v => number(v), `Price${M.merged > 1 ? `, ${M.merged} bars a candle` : ""}`, true);
    c.save(); c.beginPath(); c.rect(CHART.left, 14, w, height - 32); c.clip();
    const each = (w * M.merged) / (b - a);
    if (each >= 3) candles(c, first, last, x, y, each, P);
    else {
      c.strokeStyle = P.muted; c.lineWidth = 1; c.beginPath();
      const columns = Math.ceil(w);
      for (let column = 0; column < columns; column++) {
        const i0 = first + Math.floor((column * (last - first)) / columns), i1 = Math.max(i0 + 1, first + Math.floor(((column + 1) * (last - first)) / columns));
        let lo = Infinity, hi = -Infinity;
        for (let i = i0; i < i1 && i < last; i++) { if (M.low[i] < lo) lo = M.low[i]; if (M.high[i] > hi) hi = M.high[i]; }
        if (lo <= hi) { c.moveTo(CHART.left + column, y(lo) + 0.5); c.lineTo(CHART.left + column, y(hi) - 0.5); }
      }
      c.stroke();
    }
    fills(c, d, x, y, a, b, P);
    c.restore();
    c.font = P.font; c.textAlign = "right"; c.textBaseline = "top"; c.fillStyle = P.muted;
    c.fillText("▲ long  ▼ short  ● exit, by profit or loss  -- stop at entry", width - CHART.right, 1);
  }

  function candles(c, first, last, x, y, each, P) {
    const M = S.market, half = Math.max(1, Math.min(7, each * 0.35));
    for (let i = first; i < last; i++) {
      if (M.close[i] !== M.close[i]) continue;
      const middle = x((i + 0.5) * M.merged), up = M.close[i] >= M.open[i];
      c.strokeStyle = c.fillStyle = up ? P.gain : P.loss; c.lineWidth = 1;
      c.beginPath(); c.moveTo(middle, y(M.high[i])); c.lineTo(middle, y(M.low[i])); c.stroke();
      const top = y(Math.max(M.open[i], M.close[i])), body = Math.max(1, y(Math.min(M.open[i], M.close[i])) - top);
      if (up) { c.fillStyle = P.paper; c.fillRect(middle - half, top, 2 * half, body); c.strokeRect(middle - half, top, 2 * half, body); }
      else c.fillRect(middle - half, top, 2 * half, body);
    }
  }

  function fills(c, d, x, y, a, b, P) {
    const shown = [];
    for (let k = 0; k < d.side.length; k++) if (d.last_bar[k] >= a && d.entry_bar[k] <= b) shown.push(k);
    const size = shown.length > 300 ? 2.5 : shown.length > 80 ? 4 : 6;
    for (const k of shown) {
      const won = d.return[k] >= 0, x0 = x(d.entry_bar[k] + 0.5), x1 = x(d.last_bar[k] + 0.5), y0 = y(d.entry[k]), y1 = y(d.exit[k]);
      c.strokeStyle = won ? P.gain : P.loss; c.lineWidth = k === S.trade ? 2.4 : 1.2;
      c.beginPath(); c.moveTo(x0, y0); c.lineTo(x1, y1); c.stroke();
      if (d.stop[k] === d.stop[k] && shown.length <= 80) {
        c.strokeStyle = P.ink; c.lineWidth = 1; c.setLineDash([3, 3]); c.beginPath(); c.moveTo(x0, y(d.stop[k])); c.lineTo(Math.max(x1, x0 + 6), y(d.stop[k])); c.stroke(); c.setLineDash([]);
      }
      const up = d.side[k] > 0 ? 1 : -1;
      c.fillStyle = P.ink; c.beginPath(); c.moveTo(x0, y0 - up * size); c.lineTo(x0 - size * 0.8, y0 + up * size * 0.8); c.lineTo(x0 + size * 0.8, y0 + up * size * 0.8); c.fill();
      if (d.exit_bar[k] >= 0) { c.fillStyle = won ? P.gain : P.loss; c.beginPath(); c.arc(x1, y1, size * 0.6, 0, 7); c.fill(); }
    }
  }

  // ---- other rules

  function rules() {
    const r = model.get("rules"), a = about(), open = U.rules.open;
    const change = (name, value, fixed) => {
      settle();
      S.clock.rules = performance.now();
      S.clock.swept = false;
      status("sweeping …");
      const now = model.get("rules"), given = fixed ? { ...now, fixed: { ...now.fixed, [name]: value } } : { ...now, [name]: value };
      ask({ type: "rules", rules: given });
    };
    const field = (label, name, attributes, title, fixed) => node("label", { title }, label,
      node("input", { value: fixed ? r.fixed[name] : r[name], "data-rule": name, ...attributes, onchange: event =>
        change(name, attributes.type === "number" ? +event.target.value : event.target.value, fixed) }));
    const chooser = (label, name, options) => node("label", {}, label, node("select", { "data-rule": name,
      onchange: event => change(name, event.target.value) }, options.map(o => option(o, o, r[name]))));
    const fee = { type: "number", step: 0.0001 };
    U.rules.replaceChildren(
      node("summary", {}, "What if …", node("span", { class: "muted" }, " costs, fills, sizing, dates: every change sweeps all cells again, and the ledger counts it")),
      node("div", { class: "fields" },
        field("taker", "taker", fee, "fee as a fraction, market orders"), field("maker", "maker", fee, "fee as a fraction, targets"),
        field("slippage (bps)", "slippage_bps", { type: "number", step: 0.5, min: 0 }), field("funding / 8 h", "funding_8h", fee),
        chooser("fills", "assumption", a.choices.assumption), chooser("sides", "direction", a.choices.direction),
        field("delay (bars)", "delay_bars", { type: "number", step: 1, min: 0 }),
        chooser("sizing", "sizing", a.choices.sizing),
        r.sizing === "Risk"
          ? [field("risk", "risk", { type: "number", step: 0.005, min: 0 }), field("leverage", "leverage", { type: "number", step: 0.5, min: 0 })]
          : field("fraction", "fraction", { type: "number", step: 0.05, min: 0, max: 1 }),
        field("from", "first", { type: "date" }), field("to", "last", { type: "date" }), field("out-of-sample from", "split", { type: "date" }),
        Object.keys(r.fixed || {}).map(name => field(name, name, { type: typeof r.fixed[name] === "number" ? "number" : "text", step: "any" }, "a parameter that is fixed", true)),
        node("label", { title: "pessimistic and optimistic fills of every cell too: takes longer" }, "all three fills",
          node("input", { type: "checkbox", checked: r.fills, "data-rule": "fills", onchange: event => change("fills", event.target.checked) }))));
    U.rules.open = open;
  }

  // ---- the gate

  function gate() {
    const job = model.get("job") || {}, running = job.state === "running", done = job.approval;
    root.dataset.job = job.state || "";
    root.dataset.verdict = job.state === "judged" ? (job.approved ? "approved" : "refused") : "";
    root.dataset.ok = done ? done.id : "";
    const button = node("button", { class: "primary", "data-do": "validate", disabled: running, onclick: () => { settle(); ask({ type: "validate" }); } },
      running ? "validating …" : "validate");
    const parts = [node("div", { class: "row" }, button, running
      ? [node("progress", { max: 1, value: job.share }), node("span", { class: "muted" }, `${Math.round(100 * job.share)} %: ${job.step}${job.seconds ? `, ${job.seconds.toFixed(0)} s` : ""}`)]
      : job.state === "judged" ? node("span", { class: job.approved ? "badge yes" : "badge no" }, job.approved ? "APPROVED" : "REFUSED")
      : node("span", { class: "muted" }, "the gate refits on the past, trades forward, and says whether any of this is real"))];
    if (job.state === "failed") parts.push(node("div", { class: "error", role: "alert" }, node("span", {}, job.text)));
    if (job.state === "judged") {
      parts.push(node("div", { class: "muted small" }, "The candidate is the middle of the plateau, not the cell you clicked: ",
        job.params.map(([n, v]) => `${n} ${v}`).join(", ")));
      parts.push(node("ul", {}, job.reasons.map(text => node("li", {}, text))));
      parts.push(node("details", {}, node("summary", {}, `all ${job.tests.length} tests`), node("table", { class: "tests" }, job.tests.map(t =>
        node("tr", { class: t.passed === null ? "told" : t.passed ? "passed" : "failed" }, node("td", {}, t.passed === null ? "reported" : t.passed ? "pass" : "fail"), node("td", {}, t.title), node("td", {}, t.detail))))));
    }
    const why = running ? "the gate is still at work" : job.state !== "judged" ? "validate first" : job.approved ? "" : `the gate refused: ${job.reasons[0] || ""}`;
    const by = node("input", { placeholder: "who", "data-in": "by", value: S.by || "", disabled: !!why, oninput: event => { S.by = event.target.value; ready(); } });
    const reason = node("input", { placeholder: "why", class: "wide", "data-in": "reason", value: S.why || "", disabled: !!why, oninput: event => { S.why = event.target.value; ready(); } });
    const approve = node("button", { "data-do": "approve", onclick: () => { settle(); approve.disabled = true; ask({ type: "approve", by: by.value, reason: reason.value }); } }, "approve");
    const note = node("span", { class: "muted" });
    const ready = () => {
      const missing = why || (!by.value.trim() ? "say who approves" : !reason.value.trim() ? "say why" : "");
      approve.disabled = !!missing; approve.title = missing; note.textContent = missing;
    };
    ready();
    parts.push(done
      ? node("div", { class: "row" }, node("span", { class: "badge yes" }, "in force"), node("span", {}, `configuration ${done.id}`))
      : node("div", { class: "row" }, by, reason, approve, note));
    U.gate.replaceChildren(...parts);
  }

  // ---- wires

  const onMessage = (message, buffers) => {
    if (message.type === "done") landed(message.seq);
    else if (message.type === "error") { S.clock.view = S.clock.rules = S.clock.select = 0; landed(message.seq); complain(message.text); rebuildTools(); rules(); gate(); }
    else if (message.type === "market") {
      const [open, high, low, close] = buffers.map(b => copied(b, Float32Array));
      S.market = { ...message, open, high, low, close };
      S.window = null;
    } else if (message.type === "cell") showCell(message, buffers);
  };
  let queued = false, waiting = false;
  const drawn = () => { waiting = false; drawPanes(); };
  const once = () => { if (!waiting) { waiting = true; queueMicrotask(guarded(drawn)); } };  // several states come together
  const changed = {
    plane: () => receive(once), view: followView, marks: once, about: () => { heading(); rebuildTools(); }, job: gate,
    selected: () => { if (S.plane && U.paneNodes) drawOver(); },
    rules: () => { rules(); if (S.detail) ask({ type: "select", index: S.detail.index }); },
  };
  const guarded = work => (...given) => { try { return work(...given); } catch (error) { complain(`The page failed: ${error.message}`); throw error; } };
  const handlers = Object.entries(changed).map(([name, work]) => [`change:${name}`, guarded(work)]);
  handlers.push(["msg:custom", guarded(onMessage)]);

  const outside = event => { if (!root.contains(event.target)) S.wheelOutside = performance.now(); };
  const redraw = guarded(() => {
    queued = false;
    S.colours = null;
    S.panes.forEach(pane => { pane.table = pane.image = null; });
    if (S.plane && root.clientWidth) { drawPanes(); if (S.detail) { drawCell(); } }
  });
  const later = () => { if (!queued) { queued = true; requestAnimationFrame(redraw); } };
  const resized = new ResizeObserver(() => { if (root.clientWidth !== S.width) { S.width = root.clientWidth; later(); } });
  const themed = new MutationObserver(later);
  const scheme = matchMedia("(prefers-color-scheme: dark)");

  guarded(() => {
    build();
    handlers.forEach(([name, work]) => model.on(name, work));
    window.addEventListener("wheel", outside, { capture: true, passive: true });
    scheme.addEventListener("change", later);
    themed.observe(document.body, { attributes: true, attributeFilter: ["class", "data-jp-theme-light", "data-theme"] });
    resized.observe(root);
    receive();
    ask({ type: "hello" });  // answers are lost while the page is away; it also opens the kernel's side door
  })();

  return () => {
    handlers.forEach(([name, work]) => model.off(name, work));
    window.removeEventListener("wheel", outside, { capture: true });
    scheme.removeEventListener("change", later);
    themed.disconnect();
    resized.disconnect();
    Object.values(S.flights).forEach(flight => flight.timers.forEach(clearTimeout));
  };
}

export default { render };
