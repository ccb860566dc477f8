// The shell's own: theme, drawer, find, links. Runs before anything is drawn.
// The theme is the system's until the reader chooses one, which is then remembered; cookies tell the server what to
// draw the first figures for.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const remember = (name, value) => { document.cookie = `${name}=${value}; path=/; max-age=31536000; samesite=strict`; };
  const apply = () => {
    const theme = localStorage.getItem("heatpump-theme") ?? (dark.matches ? "dark" : "light");
    document.documentElement.dataset.theme = theme;
    remember("heatpump_theme", theme);
    dispatchEvent(new Event("heatpump-theme"));
  };
  const narrow = matchMedia("(max-width: 960px)");
  const measure = () => remember("heatpump_phone", narrow.matches ? 1 : 0);
  dark.addEventListener("change", apply);
  narrow.addEventListener("change", measure);
  apply();
  measure();
  // Back and Forward, which Panel does not hear: the page follows the address to what was chosen there. It then writes
  // the address, as ever, and must not add again what stands there; nor a step for the device that the page found.
  const [push, replace] = [history.pushState.bind(history), history.replaceState.bind(history)];
  const deviceOf = (search) => new URLSearchParams(search).get("device");
  history.pushState = (state, unused, to) => {
    const url = new URL(to, location);
    if (url.href === location.href) return;
    (deviceOf(url.search) && !deviceOf(location.search) ? replace : push)(state, unused, to);
  };
  addEventListener("popstate", () => {
    const written = globalThis.Bokeh?.documents[0]?.roots().find((each) => each.type.endsWith(".Location"));
    const isHere = written?.pathname === location.pathname && deviceOf(written.search) === deviceOf(location.search);
    if (isHere) written.search = location.search;
    else location.reload();
  });
  // What Panel draws stands in shadow roots, which document.querySelector does not look into.
  const deep = (selector, root) => {
    const found = root.querySelector(selector);
    if (found) return found;
    for (const { shadowRoot } of root.querySelectorAll("*")) {
      const inside = shadowRoot && deep(selector, shadowRoot);
      if (inside) return inside;
    }
    return null;
  };
  const find = () => {
    const field = deep("#find", document.querySelector(".living"));
    if (!field) return; // not drawn yet
    if (!field.checkVisibility()) field.closest("[popover]").showPopover();
    field.focus();
  };
  // A part of a name is enough: it opens the first that has it. What is named whole opens by itself (fragment.js).
  const complete = (field) => {
    const part = field.value.trim().toLowerCase();
    const options = [...field.list.options];
    if (!part || options.some((option) => option.value === field.value)) return;
    const found = options.find((option) => `${option.value} ${option.text}`.toLowerCase().includes(part));
    if (!found) return;
    field.value = found.value;
    field.dispatchEvent(new Event("change", { bubbles: true }));
  };
  // By itself the browser closes it, but in a shadow root it does not lead back to what opened it.
  const putAway = (popup) => {
    popup?.hidePopover();
    popup?.getRootNode().querySelector("[popovertarget], [data-to-find]").focus();
  };
  addEventListener("DOMContentLoaded", () => {
    for (const button of document.querySelectorAll(".theme")) {
      button.addEventListener("click", () => {
        const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
        localStorage.setItem("heatpump-theme", next);
        apply();
      });
    }
    // From page to page the device stays the same.
    addEventListener("click", (event) => {
      const link = event.target.closest?.("nav a");
      const device = new URLSearchParams(location.search).get("device");
      if (link && device) link.search = new URLSearchParams({ device });
    }, true);
    const drawer = document.querySelector("#navigation");
    const buttons = [...document.querySelectorAll("[data-drawer]")];
    let opener;
    const slide = (isOpen) => {
      document.body.classList.toggle("drawer", isOpen);
      for (const button of buttons) button.setAttribute("aria-expanded", isOpen);
      (isOpen ? drawer.querySelector("a") : opener)?.focus();
    };
    for (const button of buttons) {
      button.addEventListener("click", () => {
        opener = button;
        slide(!document.body.classList.contains("drawer"));
      });
    }
    addEventListener("keydown", (event) => {
      if (event.key === "Escape" && document.body.classList.contains("drawer")) slide(false);
      if (event.key === "Escape") putAway(event.composedPath().find((each) => each.matches?.(":popover-open")));
      if (event.key === "Enter" && event.composedPath()[0].matches?.("#find")) complete(event.composedPath()[0]);
      const typing = event.composedPath()[0].matches?.("input, textarea, select, [contenteditable]");
      if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
        event.preventDefault();
        find();
      }
    });
    addEventListener("click", (event) => {
      if (event.composedPath()[0].closest?.("[data-to-find]")) find();
    });
  });
})();
