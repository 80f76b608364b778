// Answers of npm's pac-resolver as JSON: the questions come in on stdin, from pac-answers.json.
import dns from "node:dns";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import path from "node:path";

const here = path.dirname(fileURLToPath(import.meta.url));
const packages = process.argv[2];
const given = JSON.parse(fs.readFileSync(0, "utf8"));

// It runs on the resolver and the clock of Node, the engine inside included: both stand still.
dns.lookup = (name, options, done) => {
  if (typeof options === "function") [options, done] = [{}, options];
  const four = (address) => !address.includes(":");
  let found = /^[0-9.]+$/.test(name) || name.includes(":") ? [name] : given.world.names[name.toLowerCase()] ?? [];
  if (options.family === 4) found = found.filter(four);
  if (!found.length) return done(Object.assign(new Error(`ENOTFOUND ${name}`), { code: "ENOTFOUND" }));
  done(null, found[0], four(found[0]) ? 4 : 6);
};
syncBuiltinESMExports();
const still = fs.readFileSync(path.join(here, "still.js"), "utf8").replace("NOW", String(given.now));
(0, eval)(still);

const load = (name, file) => import(pathToFileURL(path.join(packages, name, file)));
const { createPacResolver } = await load("pac-resolver", "dist/index.js");
const { QuickJS } = await load("quickjs-wasi", "dist/index.js");

const wasm = fs.readFileSync(path.join(packages, "quickjs-wasi", "quickjs.wasm"));
const answers = {};
for (const [name, script] of given.scripts) {
  let resolve;
  try {
    const engine = await QuickJS.create(wasm);
    resolve = createPacResolver(engine, given.no_chance + script, {
      sandbox: { myIpAddress: async () => given.world.my_addresses[0] },
    });
  } catch (error) {
    answers[name] = given.questions.map(() => `error: ${error.message}`);
    continue;
  }
  answers[name] = [];
  for (const [url, host] of given.questions) {
    try {
      answers[name].push(await resolve(url, host));
    } catch (error) {
      answers[name].push(`error: ${error.message}`);
    }
  }
}
process.stdout.write(JSON.stringify(answers));
