// The licence of every package that went into the bundles: name, version, text.
import { readFileSync, readdirSync } from "node:fs";

const lock = JSON.parse(readFileSync("package-lock.json", "utf8"));
const shipped = Object.entries(lock.packages).filter(([path, one]) => path && !one.dev && !one.optional);
console.log("Libraries in this folder, bundled by scripts/dashboard/build.sh, each under its own licence.\n");
for (const [path, one] of shipped) {
  const file = readdirSync(path).find((name) => /^licen[cs]e/i.test(name));
  const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
  console.log(`${"-".repeat(80)}\n${name} ${one.version} (${one.license})\n`);
  console.log(file ? readFileSync(`${path}/${file}`, "utf8").trim() + "\n" : "");
}
