// Rows of a ChartStack: the words beside and over each figure, and where they stand.
// The figures fill their cells from edge to edge, so a time's place is its share of the cell's width.

const LETTER = 6; // px that a letter takes, at most
const BESIDE = 8; // px between words

class Rows {
  // Rows are made anew where content changed; places follow every move.
  draw() {
    const content = this.model.content;
    if (!content.panes) return;
    this.follow(content);
    const focused = this.root.getRootNode().activeElement?.dataset?.name;
    this.root.classList.toggle("phone", content.phone);
    this.charts.setAttribute("aria-label", `Charts. Left and right read values, up and down choose a series, plus and minus zoom, T shows a table.`);
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
    const { summary, height, low, high, ticks, ...named } = pane;
    cell.row.hidden = !pane.rows.length;
    cell.row.setAttribute("aria-label", summary);
    cell.plot.style.height = `${height}px`;
    cell.over.replaceChildren();
    this.namePane(named, cell, content.phone);
    cell.labels.replaceChildren(...ticks.map(([value, label], i) => {
      const last = i === ticks.length - 1;
      const text = make("span", "", {}, content.phone && last ? `${label} ${pane.unit}` : label);
      text.style.top = `${(100 * (high - value)) / (high - low)}%`;
      return text;
    }));
    for (const row of cell.values) {
      if (row.undrawn) continue;
      row.shown = !this.model.hidden.includes(row.name);
      row.button.setAttribute("aria-pressed", String(row.shown));
      row.button.title = row.shown ? "Hide" : "Show";
    }
  }

  // Made anew only for other series, not with the scale, which follows every value: no click falls between two drawings.
  namePane(pane, cell, phone) {
    const known = JSON.stringify(pane);
    if (known === cell.known) return;
    cell.known = known;
    this.axes = this.axes.filter((axis) => axis.parentElement !== cell.row);
    const legend = make("div", pane.rows.length === 1 && !pane.ratio ? "legend single" : "legend");
    cell.labels = make("div", "labels");
    cell.time = make("span", "time");
    legend.append(make("div", "head"));
    legend.firstChild.append(make("h3", "", {}, pane.title), cell.time);
    cell.values = pane.rows.map((row) => this.legendRow(legend, row, pane));
    if (pane.ratio) cell.values.push(this.ratioRow(legend, pane.ratio));
    this.fill(cell, [cell.labels, legend], phone && pane.key !== "outdoor" ? this.axis() : null);
  }

  legendRow(legend, row, pane) {
    const button = make("button", "series", { tabindex: "-1", "data-name": row.name });
    const value = make("b");
    button.append(swatch(row), make("span", "", {}, row.label), value);
    button.addEventListener("click", () => this.toggle(row.name));
    legend.append(button);
    return { ...row, button, value, digits: pane.digits };
  }

  ratioRow(legend, ratio) {
    const line = make("div", "series");
    const value = make("b");
    line.append(make("i"), make("span", "", {}, ratio.label), value);
    legend.append(line);
    return { name: "ratio", label: ratio.label, about: ratio.about, value, digits: 1, shown: true, undrawn: true };
  }

  drawLanes(content, cell) {
    const known = JSON.stringify(content.lanes.map(({ label, top }) => [label, top]));
    cell.row.setAttribute("aria-label", `Status: ${content.lanes.map((lane) => `${lane.label} ${lane.said}`).join("; ")}.`);
    if (known === cell.known) return;
    cell.known = known;
    this.axes = this.axes.filter((axis) => axis.parentElement !== cell.row);
    cell.plot.style.height = `${content.lanesHeight}px`;
    cell.row.classList.add("lanes");
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

  drawFooter({ footer }) {
    const line = make("p");
    footer.forEach((part, i) => {
      const found = part.match(/^(coverage )([\d.]+\s%)(.*)$/u);
      const text = make("span");
      if (found) text.append(found[1], make("b", "", {}, found[2]), found[3]);
      else text.append(part);
      line.append(text, i < footer.length - 1 ? " · " : "");
    });
    if (this.tableButton.parentElement) this.footer.firstChild.replaceWith(line);
    else this.footer.append(line, this.tableButton);
  }

  drawTable() {
    const { table_open: open, table } = this.model;
    this.tableBox.hidden = !open;
    this.tableButton.textContent = open ? "Hide table" : "Show as table";
    this.tableButton.setAttribute("aria-expanded", String(open));
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
    const places = ticks.map(([at, label, midnight]) => ({ left: this.share(at) * width, half: label.length * LETTER / 2, label, midnight }));
    // Where not all have room every second is named, or third, counted from a midnight; its date pushes neighbours aside.
    const days = places.filter(({ midnight }) => midnight);
    const others = places.filter(({ midnight }) => !midnight);
    const between = Math.min(...places.slice(1).map(({ left }, i) => left - places[i].left));
    const every = Math.max(1, Math.ceil((2 * Math.max(...others.map(({ half }) => half)) + BESIDE) / between));
    const first = Math.max(0, places.indexOf(days[0]));
    const kept = [];
    for (const place of [...days, ...others.filter((place) => (places.indexOf(place) - first) % every === 0)]) {
      const inside = place.left >= place.half && place.left <= width - place.half;
      if (inside && kept.every(({ left, half }) => Math.abs(left - place.left) >= half + place.half + BESIDE)) kept.push(place);
    }
    kept.sort((a, b) => a.left - b.left);
    axis.replaceChildren(...kept.map(({ left, label, midnight }) => {
      const text = make("span", midnight ? "tick midnight" : "tick", {}, label);
      text.style.left = `${left}px`;
      return text;
    }));
  }

  placeLabels({ missing, seams, alerts, lanes, phone }) {
    const first = this.cells.find((cell) => !cell.row.hidden);
    const width = first.plot.clientWidth;
    const middle = ([start, end, text], kind) => {
      const [left, right] = [Math.max(this.share(start), 0), Math.min(this.share(end), 1)];
      const half = text.length * 3;
      // What begins before the edge, and hardly reaches over it, has no name beside what is drawn.
      if (right <= left || (left === 0 && right * width < 2 * half)) return [];
      const label = make("span", kind, {}, text);
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
    this.cells.at(-1).over.replaceChildren(...this.alertLabels(alerts, width, lanes.at(-1).top + (phone ? 17 : 7)));
  }

  // An alert is named beside its bar where there is room, at least by its type: not over another's bar or name, not
  // beyond the edge.
  alertLabels(alerts, width, top) {
    const bars = alerts
      .map(([start, end, text, level]) => ({ left: Math.max(this.share(start), 0) * width, right: Math.min(this.share(end), 1) * width, text, level }))
      .filter(({ left, right }) => right >= 0 && left <= width);
    const taken = bars.map(({ left, right }) => [left + 3, Math.max(right, left + 1) - 3]);
    const isFree = ([left, right]) => left >= 0 && right <= width && !taken.some(([from, to]) => left < to + BESIDE && right + BESIDE > from);
    const critical = bars.filter(({ level }) => level === "critical");
    return [...critical, ...bars.filter(({ level }) => level !== "critical")].flatMap(({ left, right, text, level }) => {
      const places = [text, text.split(" · ")[0]].flatMap((words) => {
        const long = words.length * LETTER + 16;
        const sides = [[right + BESIDE, right + BESIDE + long], [left - BESIDE - long, left - BESIDE]];
        return (right > 0.6 * width ? sides.reverse() : sides).map((box) => ({ words, box }));
      });
      const found = places.find(({ box }) => isFree(box));
      if (!found) return [];
      const { words, box } = found;
      taken.push(box);
      const before = box[1] <= left;
      const label = make("span", `alert ${before ? "before" : "after"}`);
      label.append(shape(level), make("span", "", {}, words));
      if (before) label.append(label.firstChild);
      label.style.top = `${top}px`;
      label.style.left = `${before ? box[1] : box[0]}px`;
      return [label];
    });
  }
}
