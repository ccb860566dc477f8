// Tells the server what only the browser knows: the theme in force, and whether the screen is a phone's.
export function render({ model }) {
  const narrow = matchMedia("(max-width: 960px)");
  const report = () => {
    model.theme = document.documentElement.dataset.theme;
    model.phone = narrow.matches;
  };
  narrow.addEventListener("change", report);
  addEventListener("heatpump-theme", report);
  report();
  return document.createElement("span");
}
