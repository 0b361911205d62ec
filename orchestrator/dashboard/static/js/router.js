// Where one is: the part of the address behind #, which never reaches a server.
import { html, signal, useEffect, useRef } from "../vendor/preact.js";
import "./session.js"; // a token in the address is taken out before the address is read

/** {path: ["services", "echo", "logs"], query: URLSearchParams} */
export const here = signal(read());

function read() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map((one) => {
    try {
      return decodeURIComponent(one);
    } catch {
      return one;
    }
  });
  return { path: parts, query: new URLSearchParams(query) };
}

window.addEventListener("hashchange", () => { here.value = read(); });

export const to = (...parts) => "#/" + parts.map(encodeURIComponent).join("/");
export function go(address, { replace = false } = {}) {
  if (replace) {
    history.replaceState(null, "", address);
    here.value = read();
  } else location.hash = address;
}

/**
 * Links of one page's parts; `tabs`: [[name, address, here?, count?]]. On a narrow screen the row scrolls sideways: the
 * chosen one is always in sight, and never the page moved for it.
 */
export function Tabs({ label, tabs }) {
  const row = useRef(null), chosen = tabs.findIndex(([, , at]) => at);
  useEffect(() => {
    const one = row.current?.children[chosen];
    if (one) row.current.scrollLeft = one.offsetLeft - (row.current.clientWidth - one.offsetWidth) / 2;
  }, [chosen]);
  return html`<nav class="tabs" aria-label=${label} ref=${row}>
    ${tabs.map(([name, address, at, count]) => html`<a href=${address} aria-current=${at ? "page" : undefined}>
      ${name}${count ? html` <span class="tag">${count}</span>` : ""}</a>`)}
  </nav>`;
}
