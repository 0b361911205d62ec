// A list of any length, of which only the rows that can be seen exist. It scrolls with the page.
import { html, useEffect, useLayoutEffect, useRef, useState } from "../../vendor/preact.js";

const BEYOND = 8;
/** Rows above and below what is seen. */

export function Virtual({ count, height, row, class: more = "", at = -1 }) {
  const self = useRef(null);
  const [seen, see] = useState([0, 30]);
  useLayoutEffect(() => {
    let asked = 0;
    const look = () => {
      asked = 0;
      if (!self.current) return;
      const top = self.current.getBoundingClientRect().top;
      const first = Math.max(0, Math.floor(-top / height) - BEYOND);
      const last = Math.min(count, Math.ceil((window.innerHeight - top) / height) + BEYOND);
      see((one) => (one[0] === first && one[1] === last ? one : [first, Math.max(first, last)]));
    };
    const soon = () => { asked ||= requestAnimationFrame(look); };
    look();
    window.addEventListener("scroll", soon, { passive: true });
    window.addEventListener("resize", soon);
    return () => {
      cancelAnimationFrame(asked);
      window.removeEventListener("scroll", soon);
      window.removeEventListener("resize", soon);
    };
  }, [count, height]);
  useEffect(() => {
    if (at < 0 || !self.current) return;
    const top = self.current.getBoundingClientRect().top + at * height;
    const low = window.innerHeight - height - 80;
    if (top < 60) window.scrollBy(0, top - 60);
    else if (top > low) window.scrollBy(0, top - low);
  }, [at, height]);
  const shown = [];
  for (let n = seen[0]; n < Math.min(seen[1], count); n += 1) shown.push(row(n, { top: `${n * height}px` }));
  return html`<div ref=${self} role="rowgroup" class=${more} style=${{ height: `${count * height}px` }}>${shown}</div>`;
}

/** Whether the screen is a small one, kept true. */
export function useSmall(query = "(max-width: 700px)") {
  const [small, set] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const media = matchMedia(query), change = () => set(media.matches);
    media.addEventListener("change", change);
    return () => media.removeEventListener("change", change);
  }, [query]);
  return small;
}
