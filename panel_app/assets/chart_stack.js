// What goes on around the Bokeh figures of a ChartStack: read-out, cursor, keyboard, zoom. Joined behind
// chart_words.js and chart_rows.js (charts/stack.py), since a component is one module.
// Values come from the figures' own data sources; everything else from `content`.

const HOLD = 900_000;
const LEAST_SPAN = 60_000;
const LONGEST_SPAN = 10 * 366 * 86_400_000; // further out there are no readings, and in the end no dates
const NOW = 60_000; // ms that a live chart may be behind
const SETTLED = 300; // ms after the last move until the server is asked, once no pointer is down

export function render({ model }) {
  const stack = new Stack(model);
  model.on("content", () => stack.draw());
  model.on("hidden", () => stack.draw());
  model.on("newest", () => stack.read());
  model.on("table", () => stack.drawTable());
  model.on("table_open", () => stack.drawTable());
  model.on("after_layout", () => stack.untab());
  model.on("remove", () => stack.remove());
  return stack.root;
}

class Stack extends Rows {
  constructor(model) {
    super();
    this.model = model;
    this.figures = model.figures;
    this.x = this.figures[0].x_range;
    this.cursor = null;
    this.root = make("div", "stack");
    this.charts = make("div", "charts", { tabindex: "0", role: "group" });
    this.live = make("div", "unseen", { "aria-live": "polite" });
    this.footer = make("div", "footer");
    this.tableButton = make("button", "link");
    this.tableButton.addEventListener("click", () => this.toggleTable());
    this.tableBox = make("div", "table", { tabindex: "0", role: "region", "aria-label": "Values of the charts" });
    this.root.append(this.charts, this.live, this.footer, this.tableBox);
    this.cells = model.get_child("figures").map((figure) => {
      const plot = make("div", "plot");
      plot.append(figure, make("div", "over"), make("div", "cursor"));
      return { plot, row: make("section", "pane", { role: "group" }), over: plot.children[1], line: plot.children[2] };
    });
    this.axes = [];
    this.pressed = false;
    this.listen();
    this.draw();
  }

  listen() {
    this.moved = () => {
      if (this.follows) return; // who draws places, too
      this.place();
      this.wait();
    };
    this.x.change.connect(this.moved);
    this.sized = new ResizeObserver(() => this.place());
    this.sized.observe(this.root);
    this.left = (event) => this.cells.some(({ plot }) => event.composedPath().includes(plot)) || this.set(null);
    document.addEventListener("pointerdown", this.left);
    this.released = () => (this.pressed = false); // before Bokeh, which tells nobody else
    for (const over of ["pointerup", "pointercancel"]) document.addEventListener(over, this.released, true);
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
    document.removeEventListener("pointerdown", this.left);
    for (const over of ["pointerup", "pointercancel"]) document.removeEventListener(over, this.released, true);
  }

  // The stack is one tab stop, so its canvases are none; a finger that moves up or down scrolls the page.
  untab() {
    for (const { plot } of this.cells) {
      for (const host of plot.firstChild ? [plot.firstChild, ...deep(plot.firstChild)] : []) {
        if (host.tabIndex === 0) host.tabIndex = -1;
        if (host.classList.contains("bk-events")) Object.assign(host.style, { touchAction: "pan-y", outline: "none" });
      }
    }
  }

  // The time axis is the reader's: it goes where the server says only if that knows of every move of theirs.
  follow({ start, end, moves }) {
    if (this.settling || moves !== this.moves()) return;
    this.follows = true;
    this.x.setv({ start, end });
    this.follows = false;
  }

  moves() {
    return this.model.chosen[2] ?? 0;
  }

  // Who holds a chart goes on to drag it, however long the hand rests: a drag is one move.
  wait() {
    clearTimeout(this.settling);
    this.settling = setTimeout(() => (this.pressed ? this.wait() : this.settle()), SETTLED);
  }

  settle() {
    this.settling = null;
    const { start, end } = this.x;
    const { content } = this.model;
    const same = Math.abs(start - content.start) < 1 && Math.abs(end - content.end) < 1;
    if (same) return;
    // There is nothing beyond now: who zooms out, or drags there, sees as much of what was before.
    const beyond = Math.max(end - Math.max(Date.now(), content.end), 0);
    if (beyond) this.x.setv({ start: start - beyond, end: end - beyond }); // which settles, too
    else this.model.chosen = [start, end, this.moves() + 1];
  }

  // ---- cursor and read-out

  point(event, plot) {
    this.pressed = event.buttons > 0;
    const box = plot.getBoundingClientRect();
    const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    const at = this.x.start + share * (this.x.end - this.x.start);
    const near = this.nearest(at);
    const reach = Math.max(this.model.content.step, HOLD);
    this.set(near !== null && Math.abs(near - at) <= reach ? near : at);
  }

  set(at, speak = false) {
    if (!this.model.content.lanes) return; // nothing was drawn yet
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
    if (!content.panes) return;
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
    const found = cell.values.map((row) => (shown ? this.last(i, row, this.cursor) : this.newest(row, this.last(i, row, this.x.end))));
    const drawn = found.filter((point, n) => point && !cell.values[n].undrawn);
    const newest = drawn.length ? Math.max(...drawn.map(({ at }) => at)) : null;
    const reach = Math.max(content.step, HOLD);
    cell.values.forEach((row, n) => {
      const point = found[n];
      const known = point !== null && !Number.isNaN(point.value) && (shown ? this.cursor : newest) - point.at <= reach;
      row.value.textContent = known ? row.about + number(point.value, row.digits) : "–";
      if (known && shown && !row.undrawn) cell.line.append(dot(row.colour, (pane.high - point.value) / (pane.high - pane.low)));
    });
    const time = shown ? this.cursor : newest;
    cell.time.textContent = time === null ? "" : this.when(time, false);
  }

  // The newest value told beside the series (ChartStack.say_newest), where the span reaches until now and single
  // values are what is read out. Its place is that of a bucket which begins then.
  newest(row, point) {
    const { step } = this.model.content;
    const [value, at] = this.model.newest[row.name] ?? [];
    const isNow = at >= this.x.start && at <= this.x.end + NOW;
    if (!row.shown || !isNow || step > NOW || (point && at + step / 2 < point.at)) return point;
    return { at: at + step / 2, value };
  }

  // The last point of a series until a time. Where a line breaks, it is the one before; a COP has no lines.
  last(i, row, until) {
    if (!row.shown) return null;
    const { at, value } = this.source(i, row.name);
    let k = upTo(at, until);
    while (k >= 0 && Number.isNaN(value[k]) && !row.undrawn) k--;
    return k < 0 ? null : { at: at[k], value: value[k] };
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
    if (!this.model.content.panes) return; // nothing was drawn yet
    const { start, end } = this.x;
    const centre = around !== null && around >= start && around <= end ? around : (start + end) / 2;
    const length = (end - start) * factor;
    if (length < LEAST_SPAN || (factor > 1 && length > LONGEST_SPAN)) return;
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
    const { step, zone } = this.model.content;
    const ms = step ? at - step / 2 : at;
    if (step >= 86_400_000) return day(ms, zone);
    if (withDay) return `${day(ms, zone)} ${this.clock(ms)}`;
    const spansDays = this.x.end - this.x.start > 86_400_000;
    return spansDays ? `${day(ms, zone).replace(/^\w+ /, "")} ${this.clock(ms)}` : this.clock(ms);
  }

  clock(ms) {
    return format(ms, this.model.content.zone, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }, (p) => `${p.hour}:${p.minute}`);
  }
}
