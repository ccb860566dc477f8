// Words and marks around the Bokeh figures of a ChartStack: ticks, read-out, cursor, keyboard, table.
// The figures fill their cells from edge to edge, so a time's place is its share of the cell's width.
// Values come from the figures' own data sources; everything else from `content` (charts/stack.py).

const HOLD = 900_000;
const LEAST_SPAN = 60_000;
const SETTLED = 300; // ms after the last move until the server is asked

export function render({ model }) {
  const stack = new Stack(model);
  model.on("content", () => stack.draw());
  model.on("hidden", () => stack.draw());
  model.on("table", () => stack.drawTable());
  model.on("table_open", () => stack.drawTable());
  model.on("after_layout", () => stack.untab());
  model.on("remove", () => stack.remove());
  return stack.root;
}

class Stack {
  constructor(model) {
    this.model = model;
    this.figures = model.figures;
    this.x = this.figures[0].x_range;
    this.cursor = null;
    this.root = make("div", "stack");
    this.charts = make("div", "charts", { tabindex: "0", role: "group" });
    this.live = make("div", "unseen", { "aria-live": "polite" });
    this.footer = make("div", "footer");
    this.tableBox = make("div", "table", { tabindex: "0", role: "region", "aria-label": "Values of the charts" });
    this.root.append(this.charts, this.live, this.footer, this.tableBox);
    this.cells = model.get_child("figures").map((figure) => {
      const plot = make("div", "plot");
      plot.append(figure, make("div", "over"), make("div", "cursor"));
      return { plot, row: make("section", "pane", { role: "group" }), over: plot.children[1], line: plot.children[2] };
    });
    this.axes = [];
    this.listen();
    this.draw();
  }

  listen() {
    this.moved = () => {
      this.place();
      clearTimeout(this.settling);
      this.settling = setTimeout(() => this.settle(), SETTLED);
    };
    this.x.change.connect(this.moved);
    this.sized = new ResizeObserver(() => this.place());
    this.sized.observe(this.root);
    this.charts.addEventListener("keydown", (event) => this.key(event));
    for (const { plot } of this.cells) {
      plot.addEventListener("pointermove", (event) => this.point(event, plot));
      plot.addEventListener("pointerdown", (event) => this.point(event, plot));
      plot.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.set(null));
      // A plain wheel scrolls the page; with Ctrl, or two fingers pinching, it zooms.
      plot.addEventListener("wheel", (event) => this.wheel(event, plot), { passive: false, capture: true });
    }
  }

  remove() {
    clearTimeout(this.settling);
    this.x.change.disconnect(this.moved);
    this.sized.disconnect();
  }

  // The stack is one tab stop, so its canvases are none.
  untab() {
    for (const { plot } of this.cells) {
      for (const host of plot.firstChild ? [plot.firstChild, ...deep(plot.firstChild)] : []) {
        if (host.tabIndex === 0) host.tabIndex = -1;
      }
    }
  }

  settle() {
    const { start, end } = this.x;
    const { content } = this.model;
    const same = Math.abs(start - content.start) < 1 && Math.abs(end - content.end) < 1;
    if (!same) this.model.chosen = [start, end];
  }

  // ---- drawing: rows are made anew with new content; places follow every move

  draw() {
    const content = this.model.content;
    if (!content.panes) return;
    const focused = this.root.getRootNode().activeElement?.dataset?.name;
    this.root.classList.toggle("phone", content.phone);
    this.charts.setAttribute("aria-label", `Charts. Left and right read values, up and down choose a series, plus and minus zoom, T shows a table.`);
    this.axes = [];
    content.panes.forEach((pane, i) => this.drawPane(pane, this.cells[i], content));
    this.drawLanes(content, this.cells.at(-1));
    if (!this.charts.childElementCount) this.charts.append(...this.cells.map((cell) => cell.row));
    this.drawFooter(content);
    this.place();
    this.drawTable();
    this.untab();
    if (focused) this.root.querySelector(`[data-name="${focused}"]`)?.focus();
  }

  drawPane(pane, cell, content) {
    cell.row.hidden = !pane.rows.length;
    cell.row.setAttribute("aria-label", pane.summary);
    cell.plot.style.height = `${pane.height}px`;
    const labels = make("div", "labels");
    pane.ticks.forEach(([value, label], i) => {
      const last = i === pane.ticks.length - 1;
      const text = make("span", "", {}, content.phone && last ? `${label} ${pane.unit}` : label);
      text.style.top = `${(100 * (pane.high - value)) / (pane.high - pane.low)}%`;
      labels.append(text);
    });
    cell.over.replaceChildren();
    const legend = make("div", pane.rows.length === 1 && !pane.ratio ? "legend single" : "legend");
    cell.time = make("span", "time");
    legend.append(make("div", "head"));
    legend.firstChild.append(make("h3", "", {}, pane.title), cell.time);
    cell.values = pane.rows.map((row) => this.legendRow(legend, row, pane));
    if (pane.ratio) cell.values.push(this.ratioRow(legend, pane.ratio));
    this.fill(cell, [labels, legend], content.phone && pane.key !== "outdoor" ? this.axis() : null);
  }

  legendRow(legend, row, pane) {
    const shown = !this.model.hidden.includes(row.name);
    const button = make("button", "series", { tabindex: "-1", "aria-pressed": String(shown), "data-name": row.name, title: shown ? "Hide" : "Show" });
    const value = make("b");
    button.append(swatch(row), make("span", "", {}, row.label), value);
    button.addEventListener("click", () => this.toggle(row.name));
    legend.append(button);
    return { ...row, value, digits: pane.digits, shown };
  }

  ratioRow(legend, ratio) {
    const line = make("div", "series");
    const value = make("b");
    line.append(make("i"), make("span", "", {}, ratio.label), value);
    legend.append(line);
    return { name: "ratio", label: ratio.label, about: ratio.about, value, digits: 1, shown: true, undrawn: true };
  }

  drawLanes(content, cell) {
    cell.plot.style.height = `${content.lanesHeight}px`;
    cell.row.classList.add("lanes");
    cell.row.setAttribute("aria-label", `Status: ${content.lanes.map((lane) => `${lane.label} ${lane.said}`).join("; ")}.`);
    const labels = make("div", "labels");
    const legend = make("div", "legend");
    cell.said = content.lanes.map((lane) => {
      const [label, said] = [make("span", "", {}, lane.label), make("span", "", {}, lane.said)];
      for (const text of [label, said]) text.style.top = `${lane.top}px`;
      labels.append(label);
      legend.append(said);
      return said;
    });
    cell.over.replaceChildren();
    this.fill(cell, [labels, legend], this.axis());
  }

  fill(cell, words, axis) {
    // The plot stays where it is: taking it out and in again would draw every figure anew.
    const { plot, row } = cell;
    const [labels, legend] = words;
    if (plot.parentElement !== row) row.append(plot);
    for (const child of [...row.children]) if (child !== plot) child.remove();
    cell.inside?.remove();
    if (this.model.content.phone) {
      cell.inside = make("div", "inside");
      cell.inside.append(labels);
      plot.append(cell.inside);
      if (row.classList.contains("lanes")) {
        cell.inside.append(legend);
        plot.before(make("h3", "", {}, "Status"));
      } else plot.before(legend);
    } else {
      plot.before(labels);
      plot.after(legend);
    }
    if (axis) row.append(axis);
  }

  axis() {
    const axis = make("div", "axis");
    this.axes.push(axis);
    return axis;
  }

  drawFooter({ footer, phone }) {
    const line = make("p");
    footer.forEach((part, i) => {
      const found = part.match(/^(coverage )([\d.]+\s%)(.*)$/u);
      const text = make("span");
      if (found) text.append(found[1], make("b", "", {}, found[2]), found[3]);
      else text.append(part);
      line.append(text, i < footer.length - 1 ? " · " : "");
    });
    const open = this.model.table_open;
    const button = make("button", "link", { "aria-expanded": String(open) }, open ? "Hide table" : "Show as table");
    button.addEventListener("click", () => this.toggleTable());
    this.footer.replaceChildren(line, button);
  }

  drawTable() {
    const { table_open: open, table } = this.model;
    this.tableBox.hidden = !open;
    const button = this.footer.querySelector("button");
    if (button) {
      button.textContent = open ? "Hide table" : "Show as table";
      button.setAttribute("aria-expanded", String(open));
    }
    if (!open || !table?.rows) return this.tableBox.replaceChildren();
    const made = make("table");
    made.append(make("caption", "", {}, table.caption), make("thead"), make("tbody"));
    const row = (cells, tag) => {
      const line = make("tr");
      line.append(...cells.map((text, i) => make(i ? tag : "th", "", tag === "th" ? { scope: "col" } : i ? {} : { scope: "row" }, text)));
      return line;
    };
    made.children[1].append(row(table.header, "th"));
    made.children[2].append(...table.rows.map((cells) => row(cells, "td")));
    this.tableBox.replaceChildren(made);
  }

  // ---- places

  share(at) {
    return (at - this.x.start) / (this.x.end - this.x.start);
  }

  place() {
    const content = this.model.content;
    if (!content.panes) return;
    for (const axis of this.axes) this.placeTicks(axis, content);
    this.placeLabels(content);
    this.read();
  }

  placeTicks(axis, { ticks }) {
    const width = axis.clientWidth;
    const shown = ticks.map(([at, label, midnight]) => [this.share(at) * width, label, midnight]).filter(([left]) => left >= 0 && left <= width);
    // A midnight's date pushes its neighbours aside.
    const days = shown.filter(([, , midnight]) => midnight).map(([left]) => left);
    const labels = shown
      .filter(([left, , midnight]) => midnight || !days.some((day) => Math.abs(day - left) < 56))
      .filter(([left, label]) => left >= label.length * 3 && left <= width - label.length * 3)
      .map(([left, label, midnight]) => {
        const text = make("span", midnight ? "tick midnight" : "tick", {}, label);
        text.style.left = `${left}px`;
        return text;
      });
    axis.replaceChildren(...labels);
  }

  placeLabels({ missing, seams, alerts, lanes, phone }) {
    const first = this.cells.find((cell) => !cell.row.hidden);
    const width = first.plot.clientWidth;
    const middle = ([start, end, text], kind) => {
      const [left, right] = [Math.max(this.share(start), 0), Math.min(this.share(end), 1)];
      if (right < left) return [];
      const label = make("span", kind, {}, text);
      const half = text.length * 3;
      label.style.left = `${Math.min(Math.max(((left + right) / 2) * width, half), width - half)}px`;
      return [label];
    };
    const names = seams.flatMap(([start, , text]) => {
      const at = this.share(start);
      if (at < 0 || at > 1) return [];
      const label = make("span", at > 0.8 ? "seam before" : "seam", {}, text);
      label.style.left = `${at * width}px`;
      return [label];
    });
    first.over.replaceChildren(...apart(missing.flatMap((hole) => middle(hole, "missing")), width), ...names);
    const cell = this.cells.at(-1);
    const told = alerts.flatMap(([start, end, text, level]) => {
      const [left, right] = [this.share(start), this.share(end)];
      if (right < 0 || left > 1) return [];
      const before = right > 0.6;
      const label = make("span", `alert ${before ? "before" : "after"}`);
      label.append(shape(level), make("span", "", {}, text));
      if (before) label.append(label.firstChild);
      label.style.top = `${lanes.at(-1).top + (phone ? 17 : 7)}px`;
      label.style.left = `${(before ? Math.max(left, 0) * width - 6 : Math.min(right, 1) * width + 6)}px`;
      return [{ label, level }];
    });
    told.sort((a, b) => (a.level === "critical" ? 0 : 1) - (b.level === "critical" ? 0 : 1));
    cell.over.replaceChildren();
    const taken = [];
    for (const { label } of told) {
      cell.over.append(label);
      const box = label.getBoundingClientRect();
      if (taken.some((other) => box.left < other.right + 8 && box.right + 8 > other.left)) label.remove();
      else taken.push(box);
    }
  }

  // ---- cursor and read-out

  point(event, plot) {
    const box = plot.getBoundingClientRect();
    const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    const at = this.x.start + share * (this.x.end - this.x.start);
    const near = this.nearest(at);
    const reach = Math.max(this.model.content.step, HOLD);
    this.set(near !== null && Math.abs(near - at) <= reach ? near : at);
  }

  set(at, speak = false) {
    this.cursor = at;
    this.read();
    if (speak) this.live.textContent = at === null ? "" : this.said();
  }

  // Times with any value, within what is shown, oldest first.
  times() {
    const { start, end } = this.x;
    const all = new Set();
    for (const [i, cell] of this.cells.entries()) {
      for (const row of cell.values ?? []) {
        if (!row.shown || row.undrawn) continue;
        const { at, value } = this.source(i, row.name);
        for (let k = 0; k < at.length; k++) if (at[k] >= start && at[k] <= end && !Number.isNaN(value[k])) all.add(at[k]);
      }
    }
    return [...all].sort((a, b) => a - b);
  }

  nearest(at) {
    let best = null;
    for (const [i, cell] of this.cells.entries()) {
      for (const row of cell.values ?? []) {
        const { at: times } = this.source(i, row.name);
        const k = upTo(times, at);
        for (const time of [times[k], times[k + 1]]) {
          if (time !== undefined && (best === null || Math.abs(time - at) < Math.abs(best - at))) best = time;
        }
      }
    }
    return best;
  }

  source(i, name) {
    return this.figures[i].renderers.find((renderer) => renderer.name === name).data_source.data;
  }

  read() {
    const { content } = this.model;
    const at = this.cursor;
    const share = at === null ? null : this.share(at);
    const shown = share !== null && share >= 0 && share <= 1;
    this.cells.forEach((cell, i) => {
      cell.line.style.display = shown ? "" : "none";
      if (shown) cell.line.style.left = `${100 * share}%`;
      cell.line.replaceChildren();
      if (cell.values) this.readPane(cell, i, content, shown);
    });
    this.readLanes(content, shown);
    this.pill(shown);
  }

  readPane(cell, i, content, shown) {
    const pane = content.panes[i];
    const until = shown ? this.cursor : this.x.end;
    let newest = null;
    for (const row of cell.values) {
      const { at, value } = this.source(i, row.name);
      let k = upTo(at, until);
      while (k >= 0 && Number.isNaN(value[k])) k--;
      const known = row.shown && k >= 0 && (!shown || until - at[k] <= Math.max(content.step, HOLD));
      row.value.textContent = known ? row.about + number(value[k], row.digits) : "–";
      if (!known) continue;
      if (!row.undrawn) newest = Math.max(newest ?? 0, at[k]);
      if (shown && !row.undrawn) cell.line.append(dot(row.colour, (pane.high - value[k]) / (pane.high - pane.low)));
    }
    const time = shown ? this.cursor : newest;
    cell.time.textContent = time === null ? "" : this.when(time, false);
  }

  readLanes({ lanes, missing, now, phone }, shown) {
    const said = this.cells.at(-1).said;
    lanes.forEach((lane, i) => {
      said[i].textContent = shown && lane.spans ? this.since(lane, missing, now) : lane.said;
    });
  }

  since({ spans }, missing, now) {
    const at = this.cursor;
    if (at > now || missing.some(([start, end]) => at >= start && at < end)) return "not known";
    const on = spans.find(([start, end]) => at >= start && at < end);
    if (on) return `on since ${this.clock(on[0])}`;
    const before = spans.filter(([, end]) => end <= at).map(([, end]) => end);
    return before.length ? `off since ${this.clock(Math.max(...before))}` : "off";
  }

  pill(shown) {
    for (const axis of this.axes) {
      axis.querySelector(".pill")?.remove();
      const ticks = [...axis.querySelectorAll(".tick")];
      for (const tick of ticks) tick.style.visibility = "";
      if (!shown) continue;
      const pill = make("span", "pill", {}, this.when(this.cursor, true));
      const half = pill.textContent.length * 3.2 + 6;
      pill.style.left = `${Math.min(Math.max(this.share(this.cursor) * axis.clientWidth, half), axis.clientWidth - half)}px`;
      for (const tick of ticks) {
        const reach = half + tick.textContent.length * 3 + 2;
        if (Math.abs(parseFloat(tick.style.left) - parseFloat(pill.style.left)) < reach) tick.style.visibility = "hidden";
      }
      axis.append(pill);
    }
  }

  said() {
    const rows = this.cells.flatMap((cell) => (cell.row.hidden ? [] : cell.values ?? []));
    const values = rows.filter((row) => row.shown).map((row) => `${row.label} ${row.value.textContent}`);
    return `${this.when(this.cursor, true)}: ${values.join(", ")}`;
  }

  // ---- keyboard and wheel

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const act = {
      ArrowLeft: () => this.step(event.shiftKey ? -10 : -1),
      ArrowRight: () => this.step(event.shiftKey ? 10 : 1),
      ArrowUp: () => this.choose(-1),
      ArrowDown: () => this.choose(1),
      Home: () => this.set(this.times()[0] ?? null, true),
      End: () => this.set(this.times().at(-1) ?? null, true),
      "+": () => this.zoom(0.5, this.cursor),
      "=": () => this.zoom(0.5, this.cursor),
      "-": () => this.zoom(2, this.cursor),
      Escape: () => (this.set(null, true), this.charts.focus()),
      t: () => this.toggleTable(),
      T: () => this.toggleTable(),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  step(by) {
    const times = this.times();
    if (!times.length) return;
    if (this.cursor === null) return this.set(by < 0 ? times.at(-1) : times[0], true);
    const k = upTo(times, this.cursor);
    const next = by > 0 || times[k] === this.cursor ? k + by : k + by + 1;
    this.set(times[Math.min(Math.max(next, 0), times.length - 1)], true);
  }

  choose(by) {
    const buttons = [...this.charts.querySelectorAll("section:not([hidden]) button.series")];
    const now = buttons.indexOf(this.root.getRootNode().activeElement);
    const next = now < 0 ? (by > 0 ? 0 : buttons.length - 1) : (now + by + buttons.length) % buttons.length;
    buttons[next]?.focus();
  }

  zoom(factor, around) {
    const { start, end } = this.x;
    const centre = around !== null && around >= start && around <= end ? around : (start + end) / 2;
    if ((end - start) * factor < LEAST_SPAN) return;
    this.x.setv({ start: centre - (centre - start) * factor, end: centre + (end - centre) * factor });
  }

  wheel(event, plot) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    event.stopPropagation();
    const box = plot.getBoundingClientRect();
    const at = this.x.start + ((event.clientX - box.left) / box.width) * (this.x.end - this.x.start);
    this.zoom(Math.exp(Math.max(-100, Math.min(event.deltaY, 100)) / 300), at);
  }

  toggle(name) {
    const { hidden } = this.model;
    this.model.hidden = hidden.includes(name) ? hidden.filter((other) => other !== name) : [...hidden, name];
  }

  toggleTable() {
    this.model.table_open = !this.model.table_open;
  }

  // ---- words

  when(at, withDay) {
    const { step, zone, start, end } = this.model.content;
    const ms = step ? at - step / 2 : at;
    if (step >= 86_400_000) return day(ms, zone);
    const spansDays = this.x.end - this.x.start > 86_400_000;
    return withDay || spansDays ? `${day(ms, zone)} ${this.clock(ms)}` : this.clock(ms);
  }

  clock(ms) {
    return format(ms, this.model.content.zone, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }, (p) => `${p.hour}:${p.minute}`);
  }
}

function day(ms, zone) {
  return format(ms, zone, { weekday: "short", day: "numeric", month: "short" }, (p) => `${p.weekday} ${p.day} ${p.month}`);
}

const formats = new Map();

function format(ms, timeZone, options, join) {
  const key = `${timeZone} ${Object.keys(options)}`;
  if (!formats.has(key)) formats.set(key, new Intl.DateTimeFormat("en-US", { timeZone, ...options }));
  return join(Object.fromEntries(formats.get(key).formatToParts(ms).map(({ type, value }) => [type, value])));
}

function number(value, digits) {
  const [whole, rest] = Math.abs(value).toFixed(digits).split(".");
  const text = whole.replace(/\B(?=(\d{3})+$)/g, "\u2009") + (rest ? `.${rest}` : "");
  return value < 0 && /[1-9]/.test(text) ? `\u2212${text}` : text;
}

// Index of the last time not after `at`; -1 where all are.
function upTo(times, at) {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= at) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

// Leaves out labels that would lie on the one before.
function apart(labels, width) {
  let end = -1;
  return labels.filter((label) => {
    const half = label.textContent.length * 3;
    const left = parseFloat(label.style.left);
    if (left - half < end) return false;
    end = left + half + 4;
    return true;
  });
}

function deep(element) {
  const inner = [...(element.shadowRoot ?? element).querySelectorAll("*")];
  return inner.flatMap((child) => [child, ...(child.shadowRoot ? deep(child) : [])]);
}

function make(tag, name = "", attributes = {}, text = "") {
  const element = document.createElement(tag);
  if (name) element.className = name;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  return element;
}

function svg(inner, width, height) {
  const box = make("i");
  box.innerHTML = `<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" aria-hidden="true">${inner}</svg>`;
  return box;
}

function swatch({ colour, dash, area }) {
  const line = `<path d="M0 ${area ? 2 : 6}H16" stroke="${colour}" stroke-width="2" stroke-dasharray="${dash.join(" ")}"/>`;
  return svg((area ? `<rect y="2" width="16" height="10" fill="${colour}" opacity="0.16"/>` : "") + line, 16, 12);
}

// A level is a shape, a colour and (beside it) a word.
function shape(level) {
  const outline = level === "critical" ? "M7 0 14 7 7 14 0 7Z" : "M7 1 14 13.5H0Z";
  return svg(`<path d="${outline}" fill="var(--${level === "critical" ? "critical" : "warning-fill"})"/><path d="M7 ${level === "critical" ? "3.5v4M7 9v1.5" : "5.5v4M7 10.8v1.4"}" stroke="var(--card)" stroke-width="1.5"/>`, 14, 14);
}

function dot(colour, share) {
  const mark = make("i", "dot");
  mark.style.background = colour;
  mark.style.top = `${100 * share}%`;
  return mark;
}
