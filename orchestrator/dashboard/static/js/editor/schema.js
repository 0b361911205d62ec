// What a JSON Schema says of a place in the text: the keys that may stand there, the values, the words about them.

/** All schemas that may count at a place, references followed and alternatives laid open. */
export function opened(root, schema, depth = 0) {
  if (!schema || depth > 12) return [];
  if (schema.$ref) {
    const found = schema.$ref.split("/").slice(1).reduce((at, step) => at?.[step], root);
    return opened(root, { ...found, ...(schema.description && { description: schema.description }) }, depth + 1);
  }
  const choices = [...(schema.anyOf || []), ...(schema.oneOf || [])];
  if (!choices.length) return [schema];
  const { anyOf: _, oneOf: __, ...outer } = schema;
  return choices.flatMap((one) => opened(root, one, depth + 1)).map((one) => ({ ...one, about: outer.description || one.about, description: outer.description || one.description, default: outer.default ?? one.default, examples: outer.examples || one.examples }));
}

export function schemasAt(root, path) {
  let now = opened(root, root);
  for (const step of path) {
    now = now.flatMap((schema) => {
      if (step === "-") return opened(root, schema.items);
      const own = schema.properties?.[step];
      return own ? opened(root, own) : typeof schema.additionalProperties === "object" ? opened(root, schema.additionalProperties) : [];
    });
  }
  return now;
}

/** Keys that may stand in a block: [{key, schema, required}], each in its usual spelling only. */
export function keysAt(root, path) {
  const found = new Map();
  for (const schema of schemasAt(root, path)) {
    for (const [key, one] of Object.entries(schema.properties || {})) {
      const usual = key.replaceAll("-", "_");
      if (usual !== key && usual in schema.properties) continue;
      if (one.description || !found.has(key)) found.set(key, { key, schema: one, required: (schema.required || []).includes(key) });
    }
  }
  return [...found.values()];
}

/** Values that a key takes: of an enum, of true and false, else its default and examples. */
export function valuesAt(root, path) {
  const found = new Set();
  for (const schema of schemasAt(root, path)) {
    if (schema.const !== undefined) found.add(schema.const);
    if (schema.type === "boolean") [true, false].forEach((one) => found.add(one));
    else (schema.enum || []).filter((one) => !/^(yes|no|on|off)$/i.test(String(one))).forEach((one) => found.add(one));
    const more = [schema.default, ...(schema.examples || [])];
    more.filter((one) => one !== undefined && one !== null && one !== "" && !(Array.isArray(one) && !one.length) && !(typeof one === "object" && !Array.isArray(one))).forEach((one) => found.add(one));
  }
  return [...found].filter((one) => typeof one !== "string" || one.length < 80).map((one) => (Array.isArray(one) ? JSON.stringify(one) : String(one)));
}

const NAMES = { string: "text", integer: "whole number", number: "number", boolean: "true or false", array: "list", object: "map", null: "null" };

/** What kind of thing a schema takes, in words. */
export function kind(root, schema) {
  const names = opened(root, schema).flatMap((one) => (one.enum ? ["one of " + one.enum.filter((each) => !/^(Yes|No|On|Off|yes|no|on|off)$/.test(each)).slice(0, 8).join(", ")] : [one.type ?? (one.properties ? "object" : "")].flat().map((type) => NAMES[type] || type)));
  return [...new Set(names.filter((name) => name && name !== "one of "))].join(" or ");
}

export function words(root, schema) {
  const [first] = opened(root, schema);
  const bounds = opened(root, schema).flatMap((one) => [one.minimum !== undefined && `at least ${one.minimum}`, one.maximum !== undefined && one.maximum < 1e6 && `at most ${one.maximum}`]).filter(Boolean);
  const usual = schema.default ?? first?.default;
  return { said: schema.description || first?.description || "", kind: kind(root, schema), bounds: [...new Set(bounds)].join(", "),
    usual: usual === undefined || usual === null || (typeof usual === "object" && !Object.keys(usual).length) ? "" : JSON.stringify(usual),
    example: schema.examples?.[0] === undefined ? "" : JSON.stringify(schema.examples[0]) };
}

/** What a key begins with once it is chosen: a block for maps and lists, a space for the rest. */
export function begins(root, schema) {
  const all = opened(root, schema);
  if (all.some((one) => one.properties || (one.type === "object"))) return "map";
  if (all.some((one) => one.type === "array" && opened(root, one.items).some((item) => item.properties))) return "list";
  return "value";
}
