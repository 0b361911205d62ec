// Where in a definition one is, read from the indentation alone: a text that is half typed has no other order.

const ENTRY = /^(\s*)((?:-\s+)*)(?:([\w.-]+|"[^"]*"|'[^']*')\s*:(?=\s|$)\s*)?(.*)$/;

/**
 * The path of the block at a line (0-based) and column: keys, and "-" for an item of a list.
 * → {path: the mapping or list one is in, key: the key on this line, value: the text behind it, inValue}
 */
export function placeAt(lines, row, column) {
  const text = lines[row] ?? "";
  const [, pad, dashes, key, value] = ENTRY.exec(text);
  const blank = !text.trim();
  const indent = blank ? column : pad.length + dashes.length;
  const path = [];
  let under = blank ? column : pad.length, items = (dashes.match(/-/g) || []).length;
  for (let n = 0; n < items; n += 1) path.unshift("-");
  for (let n = row - 1; n >= 0 && (under > 0 || items >= 0); n -= 1) {
    const line = lines[n];
    if (!line.trim() || line.trim().startsWith("#")) continue;
    const [, its, dash, name] = ENTRY.exec(line);
    const inner = its.length + dash.length;
    if (name && inner < under) {
      path.unshift(bare(name));
      under = inner;
      if (dash) {
        path.unshift("-");
        under = its.length;
      }
    } else if (name && inner === under && path[0] === "-" && !dash && its.length === under) {
      path.unshift(bare(name)); // a list that is no deeper than its key
    } else if (dash && its.length < under && inner === under) {
      path.unshift("-");
      under = its.length;
    }
    if (under === 0 && path[0] !== "-") break;
  }
  const start = text.length - value.length;
  return { path, key: key && bare(key), value, indent, inValue: Boolean(key) && column >= start && column > text.indexOf(":") };
}

/** How far the line after this one is indented: deeper behind a key without a value, level with the keys of an entry. */
export function indentAfter(line) {
  const [, pad, dashes, key, value] = ENTRY.exec(line);
  const inner = pad.length + dashes.length;
  if (key && (!value || /^[|>][-+]?$/.test(value) || value.startsWith("#"))) return inner + 2;
  return key ? inner : pad.length;
}

const bare = (key) => key.replace(/^["']|["']$/g, "");

/** Keys that the block at a line has already. */
export function siblings(lines, row, indent) {
  const found = new Set();
  const look = (from, by) => {
    for (let n = from; n >= 0 && n < lines.length; n += by) {
      const line = lines[n];
      if (!line.trim() || line.trim().startsWith("#")) continue;
      const [, pad, dash, key] = ENTRY.exec(line);
      const inner = pad.length + dash.length;
      if (by > 0 && dash && pad.length < indent) return;
      if (inner < indent) return;
      if (inner === indent && key) found.add(bare(key));
      if (by < 0 && dash && inner === indent) return;
    }
  };
  if (!/^\s*-/.test(lines[row] || "")) look(row - 1, -1);
  look(row + 1, 1);
  return found;
}
