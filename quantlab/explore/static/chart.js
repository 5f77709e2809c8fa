// Candles, trades and equity on one time axis. Prices arrive as float32 arrays, one value a bar; the time of a
// bar is first + i * step, in seconds, UTC. LIBRARY is appended by chart.py: the text of a module.
let loaded = null;
function library() {
  loaded ??= import(URL.createObjectURL(new Blob([LIBRARY], { type: "text/javascript" })));
  return loaded;
}

function numbers(view, Kind) {
  if (!view) return new Kind(0);
  return new Kind(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength)); // may be unaligned
}

function read(model) {
  const market = model.get("market"), trades = model.get("trades"), curve = model.get("curve");
  const f = (from, names) => Object.fromEntries(names.map((n) => [n, numbers(from[n], Float32Array)]));
  const i = (from, names) => Object.fromEntries(names.map((n) => [n, numbers(from[n], Int32Array)]));
  return {
    first: market.first_s, step: market.step_s, ...f(market, ["open", "high", "low", "close"]),
    equity: numbers(curve.equity, Float32Array),
    trades: {
      ...i(trades, ["entry_bar", "exit_bar", "side", "reason"]),
      ...f(trades, ["entry", "exit", "stop", "result"]), reasons: trades.reasons ?? [],
    },
  };
}

const pad = (n) => String(n).padStart(2, "0");
function minute(s) {
  const d = new Date(s * 1000);
  const day = `${d.getUTCFullYear()}-${pad(d.getUTCMonth() + 1)}-${pad(d.getUTCDate())}`;
  return `${day} ${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}`;
}
const price = (v) => (Number.isFinite(v) ? Number(v.toPrecision(7)).toLocaleString("en-US", { maximumSignificantDigits: 7 }) : "–");
const percent = (v, digits = 1) => (Number.isFinite(v) ? `${(100 * v).toFixed(digits).replace("-", "−")}%` : "–");

// What lies between entry and exit, drawn straight onto the pane of the candles: only what is in view.
class Trades {
  constructor(chart, series, data, colours, chosen) {
    Object.assign(this, { chart, series, data, colours, chosen });
    const renderer = { draw: (target) => target.useMediaCoordinateSpace((scope) => this.draw(scope.context)) };
    this.views = [{ renderer: () => renderer, zOrder: () => "top" }];
  }
  paneViews() { return this.views; }
  updateAllViews() {}
  draw(ctx) {
    const { entry_bar, exit_bar, side, entry, exit, stop, result, reason } = this.data.trades;
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (!range) return;
    const spacing = this.chart.timeScale().width() / Math.max(range.to - range.from, 1);
    const x = (bar) => this.chart.timeScale().logicalToCoordinate(bar), y = (p) => this.series.priceToCoordinate(p);
    const colour = this.colours(), size = Math.min(8, Math.max(3, 1.6 * spacing));
    for (let k = 0; k < entry_bar.length; k++) {
      if (exit_bar[k] < range.from || entry_bar[k] > range.to) continue;
      const [x0, y0, x1, y1] = [x(entry_bar[k]), y(entry[k]), x(exit_bar[k]), y(exit[k])];
      if (x0 === null || x1 === null || y0 === null || y1 === null) continue;
      ctx.lineWidth = k === this.chosen() ? 2.5 : 1.2;
      ctx.strokeStyle = ctx.fillStyle = result[k] < 0 ? colour.loss : colour.gain;
      ctx.setLineDash([4, 3]);
      ctx.beginPath(); ctx.moveTo(x0, y0); ctx.lineTo(x1, y1); ctx.stroke();
      const ys = Number.isFinite(stop[k]) ? y(stop[k]) : null;
      if (ys !== null && spacing > 0.7) {
        ctx.strokeStyle = colour.muted; ctx.setLineDash([2, 2]);
        ctx.beginPath(); ctx.moveTo(x0, ys); ctx.lineTo(Math.max(x1, x0 + 6), ys); ctx.stroke();
      }
      ctx.setLineDash([]);
      const up = side[k] > 0 ? 1 : -1;
      ctx.fillStyle = colour.ink; ctx.strokeStyle = colour.paper; ctx.lineWidth = 1;
      ctx.beginPath(); ctx.moveTo(x0, y0); ctx.lineTo(x0 - size, y0 + up * 1.6 * size);
      ctx.lineTo(x0 + size, y0 + up * 1.6 * size); ctx.closePath(); ctx.fill(); ctx.stroke();
      if (reason[k] === 0) continue; // still open: nothing was filled
      ctx.strokeStyle = colour.ink; ctx.lineWidth = 2;
      ctx.beginPath(); ctx.moveTo(x1 - size, y1 - size); ctx.lineTo(x1 + size, y1 + size);
      ctx.moveTo(x1 - size, y1 + size); ctx.lineTo(x1 + size, y1 - size); ctx.stroke();
    }
  }
}

function element(tag, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}

function palette(root) {
  const style = getComputedStyle(root), get = (name) => style.getPropertyValue(`--qlc-${name}`).trim();
  return Object.fromEntries(["paper", "ink", "muted", "rule", "gain", "loss"].map((name) => [name, get(name)]));
}

function fill(series, data) {
  const { open, high, low, close, first, step, equity } = data, n = close.length;
  const bars = new Array(n), curve = new Array(n), below = new Array(n);
  let peak = 1;
  for (let i = 0; i < n; i++) {
    const time = first + i * step, known = Number.isFinite(close[i]);
    bars[i] = known ? { time, open: open[i], high: high[i], low: low[i], close: close[i] } : { time };
    peak = Math.max(peak, equity[i]);
    curve[i] = equity[i] > 0 ? { time, value: equity[i] } : { time };
    below[i] = { time, value: equity[i] / peak - 1 };
  }
  series.candles.setData(bars);
  series.equity.setData(equity.length ? curve : []);
  series.drawdown.setData(equity.length ? below : []);
}

async function render({ model, el }) {
  const root = element("div", { className: "qlc", tabIndex: 0 });
  root.setAttribute("data-lm-suppress-shortcuts", "true");
  root.addEventListener("keydown", (event) => event.stopPropagation());
  const read_out = element("div", { className: "readout" }), box = element("div", { className: "pane" });
  const button = (text, title, act) => {
    const made = element("button", { type: "button", textContent: text, title });
    made.addEventListener("click", act);
    return made;
  };
  const about = element("b", { textContent: model.get("title") }), of_trade = element("span", { className: "trade" });
  el.append(root);
  let library_;
  try {
    library_ = await library();
  } catch (error) {
    root.append(element("div", { className: "error", textContent: `The chart could not be loaded: ${error}` }));
    root.dataset.error = "1";
    return undefined;
  }
  const { createChart, CandlestickSeries, LineSeries, AreaSeries } = library_;
  let data = read(model), colour = palette(root), chosen = model.get("trade");
  const chart = createChart(box, {
    autoSize: true, layout: { attributionLogo: true, panes: { separatorColor: colour.rule } },
    timeScale: { timeVisible: true, secondsVisible: false, minBarSpacing: 0.001, enableConflation: true, precomputeConflationOnInit: true },
    localization: { timeFormatter: minute },
    crosshair: { mode: 0 },
  });
  const whole = { lastValueVisible: false, priceLineVisible: false };
  const series = {
    candles: chart.addSeries(CandlestickSeries, { ...whole, priceFormat: { type: "custom", formatter: price, minMove: 1e-8 } }, 0),
    equity: chart.addSeries(LineSeries, { ...whole, lineWidth: 2, priceFormat: { type: "custom", formatter: (v) => v.toFixed(2), minMove: 0.01 } }, 1),
    drawdown: chart.addSeries(AreaSeries, { ...whole, lineWidth: 1, invertFilledArea: true, priceFormat: { type: "custom", formatter: (v) => percent(v, 0), minMove: 0.001 } }, 2),
  };
  series.equity.priceScale().applyOptions({ mode: 1 });
  series.drawdown.priceScale().applyOptions({ scaleMargins: { top: 0, bottom: 0.1 } });
  [4, 1.4, 0.9].forEach((share, k) => chart.panes()[k].setStretchFactor(share));
  const drawn = new Trades(chart, series.candles, data, () => colour, () => chosen);
  series.candles.attachPrimitive(drawn);

  const paint = () => {
    root.classList.toggle("dark", isDark());
    colour = palette(root);
    chart.applyOptions({
      layout: { background: { type: "solid", color: colour.paper }, textColor: colour.muted, panes: { separatorColor: colour.rule } },
      grid: { vertLines: { color: colour.rule }, horzLines: { color: colour.rule } },
      rightPriceScale: { borderColor: colour.rule }, timeScale: { borderColor: colour.rule },
    });
    series.candles.applyOptions({
      upColor: colour.paper, downColor: colour.loss, borderUpColor: colour.gain, borderDownColor: colour.loss,
      wickUpColor: colour.gain, wickDownColor: colour.loss,
    });
    series.equity.applyOptions({ color: colour.gain });
    series.drawdown.applyOptions({ lineColor: colour.loss, topColor: `${colour.loss}55`, bottomColor: `${colour.loss}55` });
  };
  const isDark = () => {
    const theme = document.body.dataset.jpThemeLight;
    if (theme !== undefined) return theme === "false";
    return document.body.classList.contains("vscode-dark") || matchMedia("(prefers-color-scheme: dark)").matches;
  };

  const at = (bar) => {
    const i = Math.min(Math.max(Math.round(bar), 0), data.close.length - 1);
    const { open, high, low, close, equity } = data;
    const prices = [["O", open], ["H", high], ["L", low], ["C", close]].map(([name, of]) => `${name} ${price(of[i])}`).join("  ");
    read_out.textContent = `${minute(data.first + i * data.step)} UTC   ${Number.isFinite(close[i]) ? prices : "missing bar"}` +
      (equity.length ? `   equity ${equity[i].toFixed(3)}` : "");
  };
  const show = () => {
    const { entry_bar, side, result, reason, reasons } = data.trades, n = entry_bar.length;
    root.dataset.trade = chosen;
    if (!n) of_trade.textContent = "no trades";
    else if (chosen < 0) of_trade.textContent = `${n.toLocaleString("en-US")} trades`;
    else of_trade.textContent = `trade ${chosen + 1} of ${n.toLocaleString("en-US")}: ${side[chosen] > 0 ? "long" : "short"}, ` +
      (reason[chosen] ? `${percent(result[chosen], 2)} by ${reasons[reason[chosen]]}` : "open");
  };
  const zoom = (from, to) => chart.timeScale().setVisibleLogicalRange({ from, to });
  const all = () => zoom(-1, data.close.length);
  const go = (k, tell = true) => {
    const n = data.trades.entry_bar.length;
    if (!n) return;
    chosen = (k + n) % n;
    const [a, b] = [data.trades.entry_bar[chosen], data.trades.exit_bar[chosen]], room = Math.max(30, 1.5 * (b - a));
    zoom(a - room, b + room);
    at(a);
    show();
    if (tell && model.get("trade") !== chosen) { model.set("trade", chosen); model.save_changes(); }
  };
  const step = (by) => go(chosen < 0 ? (by > 0 ? 0 : -1) : chosen + by);
  root.addEventListener("keydown", (event) => {
    const act = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), Home: all }[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  const refill = () => {
    const began = performance.now();
    data = drawn.data = read(model);
    fill(series, data);
    about.textContent = model.get("title");
    root.dataset.bars = data.close.length;
    root.dataset.fillMs = (performance.now() - began).toFixed(1);
    show();
  };
  chart.subscribeCrosshairMove((event) => { if (event.logical !== undefined && event.point) at(event.logical); });
  chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
    if (range) [root.dataset.from, root.dataset.to] = [range.from.toFixed(2), range.to.toFixed(2)];
  });
  chart.subscribeClick((event) => {
    if (event.logical === undefined) return;
    const { entry_bar, exit_bar } = data.trades;
    let best = -1, near = Infinity;
    for (let k = 0; k < entry_bar.length; k++) {
      const away = Math.max(entry_bar[k] - event.logical, event.logical - exit_bar[k], 0);
      if (away < near) [best, near] = [k, away];
    }
    const range = chart.timeScale().getVisibleLogicalRange();
    if (best >= 0 && near < 0.02 * (range.to - range.from)) {
      chosen = best; show(); chart.applyOptions({});
      model.set("trade", best); model.save_changes();
    }
  });

  root.append(
    element("header", {}, about,
      element("span", { className: "tools" }, button("‹", "previous trade (arrow left)", () => step(-1)), of_trade,
        button("›", "next trade (arrow right)", () => step(1)), button("all", "the whole history (Home)", all))),
    read_out, box,
    element("footer", { textContent: "▲ entry  ✕ exit  ┄ stop at entry · candles, equity (log), drawdown · wheel zooms, drag moves, arrows step through trades" }),
  );
  paint();
  refill();
  at(data.close.length - 1);
  const changed = () => { refill(); all(); };
  const moved = () => { if (model.get("trade") !== chosen && model.get("trade") >= 0) go(model.get("trade"), false); };
  model.on("change:market change:trades change:curve", changed);
  model.on("change:trade", moved);
  const watcher = new MutationObserver(paint), media = matchMedia("(prefers-color-scheme: dark)");
  watcher.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "class"] });
  media.addEventListener("change", paint);
  const first = new ResizeObserver(([entry]) => { // a range is kept in pixels a bar: it needs the width
    if (!entry.contentRect.width) return;
    first.disconnect();
    requestAnimationFrame(() => {
      if (chosen >= 0) go(chosen, false); else all();
      requestAnimationFrame(() => { root.dataset.ready = "1"; });
    });
  });
  first.observe(box);
  return () => {
    model.off("change:market change:trades change:curve", changed);
    model.off("change:trade", moved);
    watcher.disconnect();
    first.disconnect();
    media.removeEventListener("change", paint);
    chart.remove();
  };
}

export default { render };
