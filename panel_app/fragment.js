// Puts HTML made by the server into the page, changing only what differs, and tells the server what was done.
//
//   data-action="ack" data-id="7"   a click, or a choice in a select, is sent as {action, id, value};
//                                   of a form what was filled in, when it is sent
//   data-after="name"               what is filled in must be later than in the field of that name, else
//                                   data-wrong="words" stand at it, and the form is not sent
//   data-copy="text"                a click copies the text; "link" copies the page's address
//   data-navigate="device"          a choice in a select opens this page with that parameter
//   data-popup                      of details: Esc, and a press elsewhere, close it
//   data-find                       what is chosen from its list opens: a page, else this page of that device
export function render({ model }) {
  const root = document.createElement("div");
  root.className = "fragment";
  const draw = () => Idiomorph.morph(root, `<div class="fragment">${model.html}</div>`, {
    callbacks: { beforeAttributeUpdated: isOurs },
  });
  // What the reader opened stays open, and what was typed stays, though the server knows nothing of it.
  const isOurs = (name, node) => !(
    (name === "open" && node.tagName === "DETAILS") ||
    (name === "value" && node.matches("input, textarea") && node.value !== node.defaultValue)
  );
  const tell = (element) => {
    const { action, ...given } = element.dataset;
    model.send_msg({ action, ...given, value: element.value ?? "" });
  };
  root.addEventListener("click", (event) => {
    const copied = event.target.closest("[data-copy]");
    if (copied) copy(copied);
    const element = event.target.closest("[data-action]");
    if (element && !["SELECT", "FORM"].includes(element.tagName)) tell(element);
  });
  root.addEventListener("submit", (event) => {
    event.preventDefault();
    const { action, ...given } = event.target.dataset;
    if (action) model.send_msg({ action, ...given, ...Object.fromEntries(new FormData(event.target)) });
    event.target.reset();
    event.target.closest("details")?.removeAttribute("open");
  });
  root.addEventListener("input", ({ target }) => {
    for (const field of target.form?.querySelectorAll("[data-after]") ?? []) {
      const { after, wrong } = field.dataset;
      field.setCustomValidity(field.value > field.form.elements[after].value ? "" : wrong);
    }
  });
  root.addEventListener("change", (event) => {
    const { navigate, action, find } = event.target.dataset;
    if (navigate) open(navigate, event.target.value);
    else if (find !== undefined) {
      const found = [...root.querySelectorAll("datalist option")].find((option) => option.value === event.target.value);
      if (found?.dataset.path) location.href = found.dataset.path;
      else if (found) open("device", found.value);
    } else if (action && event.target.tagName === "SELECT") tell(event.target);
  });
  root.addEventListener("keydown", (event) => {
    const popup = event.key === "Escape" && event.target.closest("details[data-popup][open]");
    if (!popup) return;
    popup.removeAttribute("open");
    popup.querySelector("summary").focus();
  });
  const pressed = (event) => {
    for (const popup of root.querySelectorAll("details[data-popup][open]")) {
      if (!event.composedPath().includes(popup)) popup.removeAttribute("open");
    }
  };
  document.addEventListener("pointerdown", pressed, true);
  model.on("remove", () => document.removeEventListener("pointerdown", pressed, true));
  model.on("html", draw);
  root.innerHTML = model.html;
  return root;
}

function open(name, value) {
  const query = new URLSearchParams(location.search);
  query.set(name, value);
  location.search = query;
}

async function copy(element) {
  const text = element.dataset.copy === "link" ? location.href : element.dataset.copy;
  await navigator.clipboard.writeText(text);
  element.classList.add("copied");
  setTimeout(() => element.classList.remove("copied"), 1500);
}
