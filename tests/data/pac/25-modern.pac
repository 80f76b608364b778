// Maintained with a linter; browsers of this decade only.
const DIRECT_SUFFIXES = new Set(["corp.example", "intra.example", "dev.example"]);
const byRegion = new Map([["eu", ["fra", "par"]], ["us", ["nyc"]]]);
const suffixes = (host) => {
  const labels = host.split(".");
  return labels.map((_, index) => labels.slice(index).join("."));
};
const region = (host) => (host.endsWith(".org") || host.includes("eu") ? "eu" : "us");
function FindProxyForURL(url, host) {
  if (!host.includes(".") || suffixes(host).some((suffix) => DIRECT_SUFFIXES.has(suffix))) return "DIRECT";
  return byRegion.get(region(host)).map((name) => `PROXY ${name}.proxy.example:8080`).concat("DIRECT").join("; ");
}
