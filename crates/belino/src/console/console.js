// The console's only script. Pages work without it; with it, what is live is fetched again every two seconds and swapped, and a
// reason is asked for before the form leaves. Nothing is read from anywhere but the page's own address.
"use strict";
(() => {
  const PAUSE = 2000;
  const live = () => document.querySelectorAll("[data-live]");
  const busy = (part) => part.contains(document.activeElement) && document.activeElement !== document.body;
  const state = document.getElementById("live-state");
  const button = document.getElementById("live-toggle");
  let on = document.querySelector("main [data-live]") !== null;
  const say = (text) => { if (state && state.textContent !== text) state.textContent = text; };
  async function look() {
    if (on && !document.hidden) {
      try {
        const answer = await fetch(location.href, { cache: "no-store", redirect: "manual", credentials: "same-origin",
          headers: { "X-Live": "1" } });
        if (answer.type === "opaqueredirect") { location.reload(); return; }
        if (answer.ok) {
          const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
          document.title = fresh.title;
          for (const part of live()) {
            const next = fresh.getElementById(part.id);
            // What has the focus, or an open fold, stays as it is until it is left.
            if (next && !busy(part) && part.innerHTML !== next.innerHTML) part.innerHTML = next.innerHTML;
          }
          say("live");
        } else { say("not live: answer " + answer.status); }
      } catch (error) { say("not live: the relay does not answer"); }
    }
    setTimeout(look, PAUSE);
  }
  if (button) {
    button.hidden = !on;
    button.addEventListener("click", () => {
      on = !on;
      button.textContent = on ? "Stop updates" : "Update";
      button.setAttribute("aria-pressed", String(!on));
      say(on ? "live" : "stopped");
    });
  }
  if (on) { say("live"); setTimeout(look, PAUSE); }
})();
