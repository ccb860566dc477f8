// Says when this page's server is gone, and opens the page again once there is one. It stands in the page itself and
// runs before anything is loaded, because a server can die at any moment: before a script is there, before the
// WebSocket is open, or without closing it. So it hears every end of the WebSocket, and asks again and again. The same
// answer tells whether the reader's session still stands, and with the rights that the page was made for.
(() => {
  const EVERY_MS = 5_000, LOST_EVERY_MS = 2_000, PATIENCE_MS = 10_000;
  // Else what the page needs got lost on its way. Where the server is only slow, opening the page again makes it slower
  // still: so this tab waits twice as long each time, until it has been drawn.
  const DRAWN_WITHIN_MS = 30_000;
  const tab = (() => { try { return sessionStorage; } catch { return {}; } })(); // which a browser may refuse
  const undrawn = Number(tab.heatpump_undrawn ?? 0);
  const patience = DRAWN_WITHIN_MS * 2 ** Math.min(undrawn, 5);
  const { word } = document.currentScript.dataset;
  let [state, leftAt, loadedAt, asked] = ["", -Infinity, Infinity, null];
  const sockets = new Set();
  globalThis.WebSocket = class extends WebSocket {
    constructor(...given) {
      super(...given);
      sockets.add(this);
      this.addEventListener("close", () => {
        sockets.delete(this);
        // Opening another page closes it, too. A download begins alike and does not, so it counts for a moment only.
        if (performance.now() - leftAt > EVERY_MS) lose();
      });
    }
  };
  addEventListener("beforeunload", () => { leftAt = performance.now(); });
  addEventListener("load", () => { loadedAt = performance.now(); });
  addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); }); // as it was: nothing is live
  const isThere = () => globalThis.Bokeh?.documents.length > 0 && [...sockets].some((each) => each.readyState === 1);
  const turn = (next, ...said) => {
    if (state === next) return;
    state = next;
    const show = () => {
      document.body.classList.toggle("is-lost", state !== "");
      document.body.classList.toggle("is-ended", state === "ended");
      const line = document.querySelector(".lost") ?? document.createElement("p");
      if (!line.isConnected) { // the page broke off before it
        line.className = "lost";
        document.body.prepend(line);
      }
      line.replaceChildren(...said);
    };
    if (document.readyState === "loading") addEventListener("DOMContentLoaded", show, { once: true });
    else show();
  };
  const lose = () => {
    if (state === "") {
      const since = new Date().toLocaleTimeString("en-GB");
      turn("lost", `Not live since ${since}: the connection to this page's server is lost. The page opens again by itself once there is one.`);
    }
    again(0);
  };
  const end = () => {
    const way = document.createElement("a");
    way.href = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
    way.textContent = "Log in again";
    turn("ended", "Your session has ended.", way);
    for (const each of sockets) each.close();
  };
  const again = (after) => {
    clearTimeout(asked);
    asked = setTimeout(ask, Math.max(after, state === "" ? 0 : LOST_EVERY_MS));
  };
  const ask = async () => {
    try {
      const answer = await fetch("/alive", { cache: "no-store", redirect: "manual", signal: AbortSignal.timeout(PATIENCE_MS) });
      // A proxy that asks for the session itself leads to the form.
      const isEnded = answer.type === "opaqueredirect" || answer.status === 401;
      const isBusy = answer.status === 429; // a proxy's limit: nobody is gone
      if (!answer.ok && !isEnded && !isBusy) throw answer;
      const isAnother = answer.ok && (await answer.text()) !== word;
      if (isThere()) delete tab.heatpump_undrawn;
      const isLate = !isThere() && performance.now() - loadedAt > patience;
      if (isAnother || (!isEnded && state !== "" && !isThere())) {
        if (isLate) tab.heatpump_undrawn = undrawn + 1;
        return location.reload();
      }
      if (isEnded) end();
      else if (!isLate) turn("");
      else lose();
    } catch {
      lose();
    }
    again(state === "" ? EVERY_MS : LOST_EVERY_MS);
  };
  again(EVERY_MS);
})();
