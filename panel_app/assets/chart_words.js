// Words, numbers and small marks of a ChartStack.

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
