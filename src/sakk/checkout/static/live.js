// Keeps #live as the server has it: told by server-sent events, else asked for now and then. What
// stands there is the server's own HTML; a version says whether it is still that.
import { offer } from "../copy.js";

const ASK_MILLISECONDS = 10_000;

export function follow(changed) {
  let at = document.getElementById("live");
  if (!at || at.dataset.ended) return;
  let told = at.dataset.version;
  let asking = false;
  let again = false;

  async function ask() {
    again = asking;
    if (asking) return;
    asking = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const now = page.getElementById("live");
      if (!now || now.dataset.version === at.dataset.version) return;
      const before = at.dataset.stand;
      const focused = document.activeElement && at.contains(document.activeElement);
      at.replaceWith(document.adoptNode(now));
      at = now;
      document.title = page.title;
      offer(at);
      if (focused) document.getElementById("main").focus();
      changed(at, before);
      if (at.dataset.ended) stop();
    } catch {
      // The network is away: asked again below.
    } finally {
      asking = false;
      // What was told meanwhile may be newer than what came.
      if (again && told !== at.dataset.version) ask();
    }
  }

  const source = new EventSource(at.dataset.events);
  source.onmessage = (event) => {
    told = event.data;
    if (told !== at.dataset.version) ask();
  };
  const timer = setInterval(() => {
    if (source.readyState !== EventSource.OPEN || told !== at.dataset.version) ask();
  }, ASK_MILLISECONDS);
  function stop() {
    source.close();
    clearInterval(timer);
  }
  addEventListener("pagehide", stop);
}
