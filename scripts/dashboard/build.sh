#!/usr/bin/env bash
# Bundles the libraries of the dashboard into orchestrator/dashboard/static/vendor, with their licences. Needs node and
# npm; the result is committed, so that nothing but the daemon is needed to show the page.
set -euo pipefail
cd "$(dirname "$0")"
out=../../orchestrator/dashboard/static/vendor
npm ci --no-audit --no-fund --ignore-scripts --silent
mkdir -p "$out"
for name in preact uplot codemirror; do
  npx esbuild "src/$name.js" --bundle --format=esm --minify --target=es2022 --legal-comments=none \
    --outfile="$out/$name.js" --log-level=warning
done
cp node_modules/uplot/dist/uPlot.min.css "$out/uplot.css"
node licences.mjs >"$out/LICENSES.txt"
ls -l "$out"
